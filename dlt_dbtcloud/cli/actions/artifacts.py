"""Commands `artifacts list` and `artifacts download`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dlt_dbtcloud.cli.console import Console
from dlt_dbtcloud.cli.inputs import connected, required_run
from dlt_dbtcloud.cli.statuses import ExitStatus, InputError
from dlt_dbtcloud.redaction import plain_text

__all__ = ["UnsafePathError", "download", "list_artifacts", "target_file"]

# characters that separate folders or name a drive or stream on some system
_SEPARATORS = frozenset("\\:")


class UnsafePathError(ValueError):
    """The path of an artifact leads out of the folder."""


def list_artifacts(options: argparse.Namespace, console: Console) -> ExitStatus:
    """List the artifacts of a run."""
    with connected(options) as (client, config):
        paths = sorted(console.without_tokens(client.list_run_artifacts(required_run(config))))
    if console.is_json:
        console.json(paths)
    elif not paths:
        console.note("The run has no artifacts.")
    else:
        console.show(*map(plain_text, paths))
    return ExitStatus.SUCCESS


def download(options: argparse.Namespace, console: Console) -> ExitStatus:
    """Download artifacts of a run into a folder.

    A path of the server that leads out of the folder is refused; the others are downloaded.
    """
    if options.run_id is not None and options.bare_run_id is not None:
        # the run is an option, so the first argument is an artifact
        options = argparse.Namespace(**vars(options))
        options.paths, options.bare_run_id = [options.bare_run_id, *options.paths], None
    with connected(options) as (client, config):
        run_id = required_run(config)
        folder = Path(options.to or f"run-{run_id}")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"`{folder}` is not a folder: pass another one with `--to`.")
        paths = options.paths or sorted(client.list_run_artifacts(run_id))
        written: list[str] = []
        refused: list[UnsafePathError] = []
        for path in paths:
            try:
                file = target_file(folder, path)
            except UnsafePathError as error:
                refused.append(error)
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            written.append(str(client.download_run_artifact(run_id, path, file, options.step)))
            if not console.is_json:
                console.show(written[-1])
    if console.is_json:
        console.json(written)
    for each in refused:
        console.error(str(each))
    if not paths:
        console.note("The run has no artifacts.")
    return ExitStatus.FAILURE if refused else ExitStatus.SUCCESS


def target_file(folder: Path, path: str) -> Path:
    """Return the file of an artifact in a folder.

    Args:
        folder: The folder, which need not exist yet.
        path: The path of the artifact, as the server names it.

    Raises:
        UnsafePathError: The path leads out of the folder, on this system or another.
    """
    parts = path.split("/")
    is_plain = path.isprintable() and not _SEPARATORS & set(path)
    file = folder.joinpath(*parts)
    root = folder.resolve()
    # a link in the folder may lead out of it
    is_within = file.parent.resolve().is_relative_to(root)
    if not is_plain or not is_within or {"", ".", ".."} & set(parts):
        shown = plain_text(path)
        raise UnsafePathError(
            f"Artifact `{shown}` is not written: its path leads out of `{folder}`."
        )
    return file

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
# characters of a path in a message
_SHOWN = 80


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

    A path of the server that leads out of the folder is refused, and a file may not be writable;
    the others are downloaded.
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
        missing: list[str] = []
        for path in paths:
            try:
                file = target_file(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                written.append(str(client.download_run_artifact(run_id, path, file, options.step)))
            except UnsafePathError as error:
                missing.append(str(error))
                continue
            except (OSError, RecursionError) as error:
                # an error of the file system, or a path of a thousand folders
                reason = getattr(error, "strerror", None) or "its path is too long"
                missing.append(f"Artifact `{_shown(path)}` cannot be written: {reason}.")
                continue
            if not console.is_json:
                console.show(written[-1])
    if console.is_json:
        console.json(written)
    for each in missing:
        console.error(each)
    if not paths:
        console.note("The run has no artifacts.")
    return ExitStatus.FAILURE if missing else ExitStatus.SUCCESS


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
    if not is_plain or {"", ".", ".."} & set(parts) or not _is_within(file, folder):
        raise UnsafePathError(
            f"Artifact `{_shown(path)}` is not written: its path leads out of `{folder}`."
        )
    return file


def _is_within(file: Path, folder: Path) -> bool:
    """Return whether a file is in a folder, in which a link may lead out of it."""
    try:
        return file.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        # a link to itself
        return False


def _shown(path: str) -> str:
    text = plain_text(path)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

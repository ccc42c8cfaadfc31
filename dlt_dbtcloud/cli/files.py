"""A file that a command writes: completely, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4

from dlt_dbtcloud.cli.statuses import InputError

__all__ = ["STDOUT", "check_writable", "write_file"]


# the name of standard output
STDOUT = "-"


def check_writable(name: str) -> None:
    """Check that a file can be written, before the work for it begins.

    Args:
        name: The file, whose folders need not exist yet, or `-`.

    Raises:
        InputError: It cannot be written.
    """
    if not name:
        raise InputError("The name of the file is empty: pass the name of a file.")
    if name == STDOUT:
        return
    try:
        file = Path(name).resolve()
        if file.is_dir():
            raise InputError(f"`{name}` is a folder: pass the name of a file.")
        if file.exists() and not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, "")
        # a device or a pipe need not be in a folder that can be written
        if file.is_file() or not file.exists():
            with TemporaryFile(dir=_existing(file.parent)):
                pass
    except (OSError, RuntimeError) as error:
        raise InputError(f"`{name}` cannot be written: {_reason(error)}.") from error


def write_file(text: str, name: str) -> None:
    """Write a text in UTF-8; an older file stays as it is until the new one is complete.

    Args:
        text: The text.
        name: The file, whose folders need not exist yet, or `-`.

    Raises:
        OSError: It cannot be written.
    """
    content = text.encode()
    if name == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        return
    try:
        # a link remains one
        file = Path(name).resolve()
        if file.exists() and not file.is_file():
            file.write_bytes(content)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            _replace(file, content)
    except OSError as error:
        raise OSError(f"`{name}` is not written: {_reason(error)}.") from error


def _replace(file: Path, content: bytes) -> None:
    part = file.with_name(f".{uuid4().hex}.part")
    try:
        with part.open("xb") as stream:
            if file.exists():
                # nobody else may read the new file either
                shutil.copymode(file, part)
            stream.write(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists, even as a broken link."""
    return next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)

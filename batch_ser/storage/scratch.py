"""A folder for local copies of what is in object stores; of a killed process, the next removes it.

It is below the folder for temporary files, which the variable TMPDIR names, and nobody else can
read it or put anything into it: others often share that folder.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

from batch_ser.errors import Incomplete

PREFIX = "batch-ser-scratch"
LOCK = "in-use"  # a file that its process holds locked


def scratch_folder(owner: object) -> Path:
    """A new empty folder, which is removed when `owner` is no longer used.

    Raises:
        Incomplete: it cannot be made, or another user could reach it.
    """
    parent = Path(tempfile.gettempdir()) / f"{PREFIX}-{os.getuid()}"
    try:
        _make_private(parent)
        return _new_folder(parent, owner)
    except OSError as error:
        raise Incomplete(
            f"{error.filename or parent}: no folder for temporary files: {error.strerror}; make "
            "room there, or set TMPDIR to another folder"
        ) from error


def _make_private(folder: Path) -> None:
    """A folder of this user alone; another user may have made one of this name first."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Incomplete(
            f"{folder}: found what another user made, or no folder, expected one of this user "
            "alone for copies of recordings; remove it, or set TMPDIR to another folder"
        )
    folder.chmod(0o700)


def _new_folder(parent: Path, owner: object) -> Path:
    folder = parent / uuid.uuid4().hex[:12]
    with _locked(parent):  # so that nobody takes a new one for one that was left
        _remove_left(parent)
        folder.mkdir()
        descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_WRONLY, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    weakref.finalize(owner, _remove, folder, descriptor)
    return folder


def _remove(folder: Path, descriptor: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_left(parent: Path) -> None:
    """Remove the folders of processes that were killed: nobody holds their locks."""
    for lock in parent.glob(f"*/{LOCK}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(lock, os.O_WRONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(descriptor)

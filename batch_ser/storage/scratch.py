"""A folder for local copies of what is in object stores; of a killed process, the next removes it.

It is below the folder for temporary files, which the variable TMPDIR names.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path

PREFIX = "batch-ser-scratch"
LOCK = "in-use"  # a file that its process holds locked


def scratch_folder(owner: object) -> Path:
    """A new empty folder, which is removed when `owner` is no longer used."""
    parent = Path(tempfile.gettempdir()) / f"{PREFIX}-{os.getuid()}"
    parent.mkdir(mode=0o700, exist_ok=True)
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

"""One input of a job, with what the file system reports of it."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from batch_ser.addresses import scheme_of
from batch_ser.archives import Member
from batch_ser.audio import RAW_ENDINGS
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs.names import printable
from batch_ser.storage import StoredFile

AUDIO_SUFFIXES = RAW_ENDINGS.union(
    (".wav", ".wave", ".w64", ".rf64", ".aif", ".aiff", ".aifc", ".au", ".snd"),
    (".caf", ".voc", ".sph", ".flac", ".ape", ".tta", ".wv"),
    (".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2", ".mpga", ".ac3", ".eac3"),
    (".m4a", ".m4b", ".aac", ".amr", ".awb", ".wma", ".asf", ".mka"),
    (".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".avi", ".flv"),  # films
)


class Line(NamedTuple):
    """A line of a manifest: its address may hold a signature, which is never copied from there."""

    manifest: str  # a path
    number: int  # as `read_rows` counts


@dataclass(frozen=True, slots=True)  # a driver may hold many
class InputFile:
    """One input: its name in the tables, its path or address, its size and when it was modified.

    Of a recording in an archive these are path, size and time of the archive: with another one, all
    recordings in it are other ones.
    """

    file: str
    path: str
    size_bytes: int = 0
    modified_us: int = 0  # since 1970, UTC
    columns: tuple[str | None, ...] = ()  # values of the job's further columns; None: not its own
    error: FileError | None = None
    given_segments: bytes = b""  # those of a manifest, packed
    line: "Line | None" = None  # that has the whole address, where the path has no query
    roles: str = ""  # of its channels, as a manifest has them; `roles.py` parses it
    member: Member | None = None  # where in an archive it is

    @property
    def given_digest(self) -> str:
        """Identifies given segments and roles: with other ones it is another file to a job."""
        given = self.given_segments + (f"\n{self.roles}".encode() if self.roles else b"")
        return hashlib.sha256(given).hexdigest()[:16] if given else ""

    @property
    def content_bytes(self) -> int:
        """The size of the recording itself."""
        return self.member.size_bytes if self.member else self.size_bytes

    @property
    def version(self) -> tuple[int, int, str]:
        """What a row must hold to be of this file as it is now."""
        return self.size_bytes, self.modified_us, self.given_digest


def input_file(
    name: str,
    path: str,
    columns: tuple[str | None, ...] = (),
    error: FileError | None = None,
    given_segments: bytes = b"",
    roles: str = "",
) -> InputFile:
    """An input, looked up in the file system; what keeps it from being read becomes its error."""
    if error:
        return InputFile(name, path, 0, 0, columns, error, given_segments, roles=roles)
    size_bytes = modified_us = 0
    try:
        found = os.stat(path)
    except (OSError, ValueError) as problem:  # ValueError: a name with a NUL in it
        error = _unreachable(path, problem)
    else:
        size_bytes, modified_us = found.st_size, found.st_mtime_ns // 1000
        if not stat.S_ISREG(found.st_mode):
            error = _not_a_file(found)
    return InputFile(
        name, path, size_bytes, modified_us, columns, error, given_segments, roles=roles
    )


def remote_file(
    name: str,
    path: str,
    look_up: Callable[[], StoredFile | None],
    columns: tuple[str | None, ...] = (),
    given_segments: bytes = b"",
    line: Line | None = None,
    roles: str = "",
) -> InputFile:
    """An input at an address, as `look_up` finds it; what keeps it from being read is its error."""
    size_bytes = modified_us = 0
    error = None
    try:
        found = look_up()
    except (OSError, UsageError) as problem:
        error = fetch_error(path, problem)
    else:
        if found:
            size_bytes, modified_us = found.size_bytes, max(found.modified_us, 0)
        else:
            error = FileError(Reason.NOT_FOUND, f"there is no such object: {printable(path)}")
    return InputFile(
        name, path, size_bytes, modified_us, columns, error, given_segments, line, roles
    )


def archive_error(path: str, problem: OSError | UsageError) -> FileError:
    """Why an archive, at a path or an address, cannot be read."""
    if scheme_of(path) or isinstance(problem, UsageError):
        return fetch_error(path, problem)
    return _unreachable(path, problem)


def fetch_error(path: str, problem: Exception) -> FileError:
    """Why a file at an address cannot be read; `path` is its public address."""
    path = printable(path)
    if isinstance(problem, FileNotFoundError):
        return FileError(Reason.NOT_FOUND, f"there is no such object: {path}")
    if isinstance(problem, PermissionError):
        why = problem.strerror or "access denied"
        return FileError(Reason.FORBIDDEN, f"the object may not be read: {path} ({why})")
    if isinstance(problem, UsageError):
        return FileError(Reason.UNSUPPORTED, printable(f"{path}: {problem}"))
    return FileError(Reason.FETCH_FAILED, printable(f"the object cannot be fetched: {problem}"))


def _unreachable(path: str, problem: OSError | ValueError) -> FileError:
    if isinstance(problem, FileNotFoundError | NotADirectoryError):
        return FileError(Reason.NOT_FOUND, f"there is no such file: {printable(path)}")
    if isinstance(problem, PermissionError):
        return FileError(Reason.FORBIDDEN, "the file may not be reached: permission denied")
    if isinstance(problem, OSError) and problem.errno == errno.ELOOP:
        return FileError(Reason.NOT_FOUND, f"this link leads back to itself: {printable(path)}")
    return FileError(Reason.FETCH_FAILED, printable(f"the file cannot be reached: {problem}"))


def _not_a_file(found: os.stat_result) -> FileError:
    kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
    return FileError(Reason.NOT_A_FILE, f"this is {kind}, expected a file")

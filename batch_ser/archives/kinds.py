"""The formats of archives, by the endings of their names."""

from collections.abc import Callable
from typing import BinaryIO

from batch_ser.archives.archive import Archive
from batch_ser.archives.gzip_stream import GzipStream
from batch_ser.archives.parquet_audio import ParquetArchive
from batch_ser.archives.tar_members import TarArchive
from batch_ser.archives.zip_members import ZipArchive

BELOW = "!/"  # between the name of an archive and that of a member
Kind = Callable[[BinaryIO], Archive]


def _gzipped_tar(file: BinaryIO) -> TarArchive:
    return TarArchive(GzipStream(file))


KINDS: dict[str, Kind] = {
    ".tar": TarArchive,
    ".tar.gz": _gzipped_tar,
    ".tgz": _gzipped_tar,
    ".zip": ZipArchive,
}
TABLES: dict[str, Kind] = {".parquet": ParquetArchive}  # where an input names them
IN_ORDER = (".tar.gz", ".tgz", ".parquet")


def is_archive(name: str) -> bool:
    """Whether a file in a folder is an archive of recordings, by its name."""
    return name.lower().endswith(tuple(KINDS))


def is_in_order(name: str) -> bool:
    """Whether members of such an archive are read forward."""
    return name.lower().endswith(IN_ORDER)


def is_table(name: str) -> bool:
    """Whether a file is an archive if it has a column of audio, by its name."""
    return name.lower().endswith(tuple(TABLES))


def split_member(path: str) -> tuple[str, str]:
    """The path of an archive and the name of a member of it, of `a.tar!/b.wav`.

    Both are empty where a path is not of this form.
    """
    at = path.find(BELOW)
    while at >= 0:
        if archive_kind(path[:at]):
            return path[:at], path[at + len(BELOW) :]
        at = path.find(BELOW, at + 1)
    return "", ""


def archive_kind(name: str) -> Kind | None:
    """How an archive is opened; None if a name has none of the endings."""
    lower = name.lower()
    return next((kind for end, kind in (KINDS | TABLES).items() if lower.endswith(end)), None)

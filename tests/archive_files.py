"""Folders packed into archives of each kind, by the ending of their names."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.archives import is_archive

KINDS = ("a.tar", "a.tar.gz", "a.tgz", "a.zip", "stored.zip", "a.parquet")
Content = Mapping[str, bytes]


def content_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by their names below it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def pack(content: Content, path: Path) -> Path:
    """An archive with some files."""
    if path.suffix == ".parquet":
        _parquet(content, path)
    elif path.suffix == ".zip":
        method = zipfile.ZIP_STORED if "stored" in path.name else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
            for name, data in content.items():
                add(archive, name, data)
    assert is_archive(path.name) or path.suffix == ".parquet"
    return path


def add(
    archive: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE
) -> None:
    """Add a member to a tar file, with any name and of any kind."""
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(data), kind, "a.wav"
    archive.addfile(member, io.BytesIO(data))


def _parquet(content: Content, path: Path) -> None:
    rows = [{"bytes": data, "path": name} for name, data in content.items()]
    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(
        {"audio": pa.array(rows, audio), "label": [*range(len(rows))], "loud": [True] * len(rows)}
    )
    pq.write_table(table, path, row_group_size=2)

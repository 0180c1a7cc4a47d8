"""Members of a tar file: headers are read, and what is between them is passed over.

`tarfile` parses each header. It does not go from one to the next: it keeps all of them, reads
records of any size at once, and takes a damaged header for the end.
"""

import tarfile
from collections.abc import Iterator
from typing import Protocol

from batch_ser.archives.archive import (
    CHUNK_BYTES,
    MAX_BYTES,
    Archive,
    Found,
    Member,
    check_size,
    damage_found,
)
from batch_ser.archives.gzip_stream import GzipStream
from batch_ser.errors import FileError, Reason

BLOCK = 512
MAX_RECORD_BYTES = 1_000_000  # of a long name, or of pax
LONG_NAMES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
SPARSE = "GNU.sparse."  # of pax
WITHOUT_CONTENT = (
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE),
    *(tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE),
)
DAMAGED = "the tar file is damaged or cut"


class Content(Protocol):
    """The bytes of a tar file, compressed or not."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, position: int, /) -> int: ...
    def tell(self) -> int: ...


class TarArchive(Archive):
    """A tar file in one of its formats (ustar, GNU, pax); a member's place is its first byte."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self.in_order = isinstance(content, GzipStream)

    def entries(self) -> Iterator[Found]:
        at = 0
        everywhere: dict[str, str] = {}  # records of pax
        records: dict[str, str] = {}  # those of the next member
        while (header := self._header(at)) is not None:
            content = at + BLOCK
            if header.type == tarfile.GNUTYPE_SPARSE:
                content = self._behind_map(at)
            size = _size(header, records, everywhere)
            after = content + (0 if header.type in WITHOUT_CONTENT else -(-size // BLOCK) * BLOCK)
            if not at < after < MAX_BYTES:
                raise FileError(Reason.CORRUPT, f"{DAMAGED} at byte {at:,}: found {size:,} bytes")
            if header.type in LONG_NAMES:
                text = self._record(content, size).partition(b"\0")[0]
                records[LONG_NAMES[header.type]] = text.decode(errors="surrogateescape")
            elif header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE):
                known = everywhere if header.type == tarfile.XGLTYPE else records
                known.update(_pax_records(self._record(content, size)))
            else:
                yield _entry(header, content, size, everywhere | records)
                records = {}
            at = after

    def read(self, member: Member) -> Iterator[bytes]:
        check_size(member.size_bytes)
        [offset] = member.place
        left = member.size_bytes
        with damage_found("the tar file"):
            self._content.seek(offset)
            while left:
                part = self._content.read(min(left, CHUNK_BYTES))
                if not part:
                    raise FileError(Reason.CORRUPT, f"{DAMAGED}: it ends {left:,} bytes too early")
                left -= len(part)
                yield part

    def _header(self, at: int) -> tarfile.TarInfo | None:
        """The header at a position; None at the end, which zeros mark, or nothing in some files.

        Raises:
            FileError: there is no header, or the file ends within the member before it.
        """
        with damage_found(f"the tar file at byte {at:,}"):
            if self._content.tell() != at:
                self._content.seek(max(0, at - 1))
                if at and not self._content.read(1):
                    raise FileError(Reason.CORRUPT, f"{DAMAGED}: it ends within a member")
            block = self._content.read(BLOCK)
            if (at and not block) or (len(block) == BLOCK and not block.strip(b"\0")):
                return None
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")

    def _record(self, at: int, size_bytes: int) -> bytes:
        if size_bytes > MAX_RECORD_BYTES:
            raise FileError(
                Reason.CORRUPT, f"{DAMAGED} at byte {at:,}: found a name of {size_bytes:,} bytes"
            )
        return b"".join(self.read(Member("", (at,), size_bytes)))

    def _behind_map(self, at: int) -> int:
        """Where the content of a sparse file of GNU begins: behind the rest of its map."""
        flag = 482
        while b"".join(self.read(Member("", (at,), BLOCK)))[flag]:
            at, flag = at + BLOCK, 504
        return at + BLOCK


def _size(header: tarfile.TarInfo, records: dict[str, str], everywhere: dict[str, str]) -> int:
    text = records.get("size", everywhere.get("size", ""))
    return int(text) if text.isdecimal() and len(text) < 20 else header.size


def _pax_records(data: bytes) -> Iterator[tuple[str, str]]:
    """Records such as `18 path=a/b.wav` and a new line; what is damaged ends them."""
    while data:
        length, _, rest = data.partition(b" ")
        if not length.isdigit() or len(length) > 9 or not len(length) < int(length) <= len(data):
            return
        record, data = rest[: int(length) - len(length) - 2], data[int(length) :]
        name, _, value = record.decode(errors="surrogateescape").partition("=")
        yield name, value


def _entry(header: tarfile.TarInfo, content: int, size: int, records: dict[str, str]) -> Found:
    name = records.get(f"{SPARSE}name") or records.get("path") or header.name
    member, error = Member(name, (content,), size), None
    if header.issym() or header.islnk():
        error = FileError(Reason.NOT_A_FILE, "this is a link, expected a file: its target counts")
    elif header.type == tarfile.GNUTYPE_SPARSE or any(each.startswith(SPARSE) for each in records):
        error = FileError(Reason.UNSUPPORTED, "this is a sparse file; make the tar file without")
    elif header.type in WITHOUT_CONTENT and not header.isdir():
        error = FileError(Reason.NOT_A_FILE, "this is a device or a pipe, expected a file")
    return Found(member, error, is_folder=header.isdir())

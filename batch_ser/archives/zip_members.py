"""Members of a zip file: found by its directory, decompressed as they are read, with their CRC."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from batch_ser.archives.archive import (
    CHUNK_BYTES,
    MAX_BYTES,
    Archive,
    Found,
    Member,
    check_ratio,
    check_size,
    damage_found,
)
from batch_ser.errors import FileError, Reason

ENCRYPTED = 1  # bit of a member's flags
HEADER_BYTES = 30
SIGNATURE = b"PK\3\4"
WINDOWS = 0  # or DOS: the system on which a member was added
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipArchive(Archive):
    """A zip file; its members are stored or deflated."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def entries(self) -> Iterator[Found]:
        with damage_found("the zip file"):
            found = zipfile.ZipFile(self._file).infolist()
        for each in found:
            yield _entry(each)

    def read(self, member: Member) -> Iterator[bytes]:
        offset, compressed_bytes, method, crc = member.place
        check_size(member.size_bytes)
        check_ratio(member.size_bytes, compressed_bytes)
        self._go_to(offset)
        done, found_crc = 0, 0
        for part in self._content(compressed_bytes, method, member.size_bytes):
            done, found_crc = done + len(part), zlib.crc32(part, found_crc)
            if done > member.size_bytes:
                break
            yield part
        if done != member.size_bytes or found_crc != crc:
            wrong = "size" if done != member.size_bytes else "CRC"
            raise FileError(Reason.CORRUPT, f"its {wrong} is not the one that the zip file states")

    def _go_to(self, offset: int) -> None:
        """Go to the content of a member, by the header in front of it."""
        if not 0 <= offset < MAX_BYTES:
            raise FileError(Reason.CORRUPT, "the zip file states a member outside of it")
        self._file.seek(offset)
        header = self._file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES or not header.startswith(SIGNATURE):
            raise FileError(Reason.CORRUPT, "the zip file has no member where it states one")
        name_bytes, extra_bytes = struct.unpack("<HH", header[26:])
        self._file.seek(offset + HEADER_BYTES + name_bytes + extra_bytes)

    def _content(self, compressed_bytes: int, method: int, size_bytes: int) -> Iterator[bytes]:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS) if method == zipfile.ZIP_DEFLATED else None
        left = compressed_bytes
        while left > 0 and (data := self._file.read(min(left, CHUNK_BYTES))):
            left -= len(data)
            if inflate is None:
                yield data
                continue
            while data:
                with damage_found("its content"):
                    part = inflate.decompress(data, CHUNK_BYTES)
                data = inflate.unconsumed_tail
                yield part
        if inflate is not None:
            with damage_found("its content"):
                yield inflate.flush(max(1, min(size_bytes, CHUNK_BYTES)))


def _entry(found: zipfile.ZipInfo) -> Found:
    place = found.header_offset, found.compress_size, found.compress_type, found.CRC
    name = found.filename
    if found.create_system == WINDOWS and "/" not in name:
        name = name.replace("\\", "/")  # as old programs wrote it
    member = Member(name, place, found.file_size)
    is_folder = name.endswith("/")
    kind = stat.S_IFMT(found.external_attr >> 16)  # of Unix; 0 of other systems
    error = None
    if stat.S_ISLNK(kind):
        error = FileError(Reason.NOT_A_FILE, "this is a link, expected a file: its target counts")
    elif kind and not stat.S_ISREG(kind) and not is_folder:
        error = FileError(Reason.NOT_A_FILE, "this is a device or a pipe, expected a file")
    elif found.flag_bits & ENCRYPTED:
        error = FileError(Reason.UNSUPPORTED, "this member is encrypted; unpack the zip file")
    elif found.compress_type not in METHODS:
        error = FileError(
            Reason.UNSUPPORTED,
            f"found compression method {found.compress_type}, expected a member that is stored "
            "(0) or deflated (8)",
        )
    return Found(member, error, is_folder=is_folder)

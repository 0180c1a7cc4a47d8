"""Uploads: one file of a multipart form, written to a private folder as it comes, within bounds."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from batch_ser.inputs import table_name
from jobs.serve.guard import FORM_BYTES
from jobs.serve.refusals import Refused, too_large, too_slow

FIELD = "file"
SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")  # kept: of a file without a header it is the format
LONGEST_NAME = 255  # characters
MOST_PARTS = 100  # of a form: each takes time of the one thread that serves all
EXPECTED = "expected multipart/form-data with one file in the field `file`: curl -F file=@call.wav"


@dataclass
class Upload:
    """A file that a client sent, on the disk of this machine."""

    path: Path
    filename: str  # as the client has it, without folders


@dataclass
class _Form:
    """The parts of a form: that of the field `file` is written, and others are passed over."""

    folder: Path
    max_bytes: int
    upload: Upload | None = None
    _file: IO[bytes] | None = None
    _name: bytes = b""
    _value: bytes = b""
    _disposition: bytes = b""
    _size: int = field(default=0)
    _parts: int = 0
    has_ended: bool = False  # its last boundary has come

    def begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Refused(400, "bad_form", f"more than {MOST_PARTS} parts in one form; {EXPECTED}")
        self._name = self._value = self._disposition = b""

    def header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != FIELD.encode() or b"filename" not in options:
            return
        if self.upload:
            raise Refused(400, "bad_form", f"several files in one form; {EXPECTED}")
        filename = _base_name(options[b"filename"])
        suffix = PurePosixPath(filename).suffix
        ending = suffix if SUFFIX.fullmatch(suffix) else ""
        self.upload = Upload(self.folder / f"upload{ending}", filename)
        self._file = self.upload.path.open("xb")

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._file:
            self._size += end - start
            if self._size > self.max_bytes:
                raise too_large(self.max_bytes)
            self._file.write(data[start:end])

    def end(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def finish(self) -> None:
        self.has_ended = True


@asynccontextmanager
async def received(
    request: Request, folder: Path, max_bytes: int, timeout_s: float
) -> AsyncIterator[Upload]:
    """The file of a request, in a folder of its own that goes with it.

    Raises:
        Refused: no such form, too large, or too slow.
    """
    with TemporaryDirectory(dir=folder, prefix="request-") as own:
        form = _Form(Path(own), max_bytes)
        try:
            async with asyncio.timeout(timeout_s):
                await _read(request, form)
        except TimeoutError as error:
            raise too_slow(timeout_s) from error
        finally:
            form.end()
        if not form.has_ended:
            raise Refused(400, "bad_form", f"the form ends early; {EXPECTED}")
        if form.upload is None:
            raise Refused(400, "bad_form", f"found no file; {EXPECTED}")
        yield form.upload


async def _read(request: Request, form: _Form) -> None:
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refused(400, "bad_form", f"found no form; {EXPECTED}")
    read = 0
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": form.begin,
                "on_header_field": form.header_name,
                "on_header_value": form.header_value,
                "on_header_end": form.header_end,
                "on_headers_finished": form.headers_finished,
                "on_part_data": form.data,
                "on_part_end": form.end,
                "on_end": form.finish,
            },
        )
        async for chunk in request.stream():
            read += len(chunk)
            if read > form.max_bytes + FORM_BYTES:
                raise too_large(form.max_bytes)
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise Refused(400, "bad_form", f"found a damaged form; {EXPECTED}") from error
    except ClientDisconnect as error:
        raise Refused(400, "bad_form", "the client ended the connection") from error


def _base_name(name: bytes) -> str:
    """A client's name for its file, without folders, as tables would have it."""
    text = table_name(name.decode("utf-8", errors="surrogateescape"))
    base = text.replace("\\", "/").rpartition("/")[2]
    shown = "".join(each if each.isprintable() else "_" for each in base)
    return shown[-LONGEST_NAME:] or "upload"

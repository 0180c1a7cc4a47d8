"""The addresses in manifests with their queries, read again where a file is fetched.

A signed address is nowhere but in its manifest and in the memory of the process that fetches the
file: other processes are given the number of its line.
"""

from collections.abc import Iterator
from pathlib import Path

from batch_ser.addresses import public_address
from batch_ser.errors import FileError, Reason
from batch_ser.inputs.files import InputFile, Line
from batch_ser.inputs.rows import Columns, Row, read_rows

COLUMNS = Columns(needed=("file",))


class WholeAddresses:
    """Reads manifests forward, and from their start again where an earlier line is needed."""

    def __init__(self) -> None:
        self._rows: dict[str, Iterator[Row]] = {}
        self._read: dict[str, Row] = {}  # the last row of each

    def of(self, file: InputFile) -> str:
        """The address of a file, with its query.

        Raises:
            FileError: `fetch_failed` where the manifest has another address in its line now.
        """
        if file.line is None:
            return file.path
        found = self.at(file.line)
        if public_address(found) != file.path:
            raise FileError(
                Reason.FETCH_FAILED,
                f"line {file.line.number} of the manifest has another address now; run again",
            )
        return found

    def at(self, line: Line) -> str:
        """The address in a line; empty if there is none."""
        last = self._read.get(line.manifest)
        if last is None or last.number > line.number:
            self._rows[line.manifest] = read_rows(Path(line.manifest), COLUMNS)
            last = None
        while last is None or last.number < line.number:
            last = next(self._rows[line.manifest], None)
            if last is None:
                return ""
            self._read[line.manifest] = last
        return last.values.get("file", "").strip() if last.number == line.number else ""

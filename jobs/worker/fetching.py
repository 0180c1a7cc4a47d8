"""The files of a shard on this machine: those at addresses and in archives are copied to a scratch
folder.

Several from elsewhere are on their way while one is scored, and each copy is removed after that, so
that the folder holds no more than a bound, or one larger file.
"""

import shutil
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from batch_ser.addresses import scheme_of
from batch_ser.archives import OpenArchives, is_in_order
from batch_ser.errors import FileError, Incomplete, UsageError
from batch_ser.inputs import InputFile, WholeAddresses, archive_error, fetch_error
from batch_ser.storage import Remote, StorageError, scratch_folder

IN_FLIGHT = 8  # objects at a time: enough for small ones, which take a round trip each
SCRATCH_BYTES = 1_000_000_000
LONGEST_NAME = 200  # bytes; file systems take 255


class Fetching:
    """Copies of the files of a shard, in their order."""

    def __init__(
        self,
        files: Sequence[InputFile],
        archives: OpenArchives | None = None,
        in_flight: int = IN_FLIGHT,
        scratch_bytes: int = SCRATCH_BYTES,
    ) -> None:
        """`archives` may be open already."""
        self._files = files
        self._scratch_bytes = scratch_bytes
        if any(_is_copied(file) for file in files):
            self._folder = scratch_folder(self)
            self._threads = ThreadPoolExecutor(in_flight)
            weakref.finalize(self, self._threads.shutdown, wait=False, cancel_futures=True)
            self._store, self._addresses = Remote(), WholeAddresses()
            self._archives = archives or OpenArchives(self._store)
        self._waiting: dict[int, Future[InputFile]] = {}
        self._bytes = self._begun = 0  # announced, of what is here or on its way

    @contextmanager
    def local(self, number: int) -> Iterator[InputFile]:
        """A file as it can be opened; of a copy, of the version that was fetched. Numbers ascend.

        Raises:
            FileError: it cannot be fetched.
            Incomplete: it cannot be written.
        """
        file = self._files[number]
        if not _is_copied(file):
            yield file
            return
        self._begin(number)
        try:
            if number in self._waiting:
                yield self._waiting.pop(number).result()
            else:
                yield self._fetch(number, file.path)
        finally:
            shutil.rmtree(self._folder / str(number), ignore_errors=True)
            if _is_sent_for(file):
                self._bytes -= file.content_bytes

    def all_local(self, stack: ExitStack) -> Iterator[tuple[int, str]]:
        """The numbers and paths of all files that can be fetched, kept until `stack` ends."""
        for number in range(len(self._files)):
            with suppress(FileError):
                yield number, stack.enter_context(self.local(number)).path

    def _begin(self, number: int) -> None:
        """Start to copy a file and those after it, as many as there is room for."""
        for each in range(self._begun, len(self._files)):
            file = self._files[each]
            if each > number and self._bytes + file.content_bytes > self._scratch_bytes:
                return
            self._begun = each + 1
            if _is_sent_for(file):
                self._bytes += file.content_bytes
                self._waiting[each] = self._threads.submit(self._fetch, each, self._address(file))

    def _address(self, file: InputFile) -> str | FileError:
        try:
            return self._addresses.of(file)
        except (FileError, UsageError) as error:
            return fetch_error(file.path, error)

    def _fetch(self, number: int, address: str | FileError) -> InputFile:
        if isinstance(address, FileError):
            raise address
        file, folder = self._files[number], self._folder / str(number)
        path = folder / _name(file.member.name if file.member else file.path)
        try:
            folder.mkdir()
            if file.member:
                self._copy_member(file, path)
                return replace(file, path=str(path))
            found = self._store.fetch(address, path)
        except (StorageError, UsageError) as error:
            raise fetch_error(file.path, error) from error
        except OSError as error:
            if scheme_of(str(error.filename or "")):  # of the object, and not of its copy
                raise fetch_error(file.path, error) from error
            raise Incomplete(
                f"{error.filename or path}: {error.strerror}; make room in the folder for "
                "temporary files, or set TMPDIR; then the same command goes on"
            ) from error
        return replace(
            file,
            path=str(path),
            size_bytes=found.size_bytes,
            modified_us=max(found.modified_us, 0),
        )

    def _copy_member(self, file: InputFile, to: Path) -> None:
        """Copy a recording out of an archive, part by part."""
        assert file.member
        version = file.size_bytes, file.modified_us
        parts = self._archives.read(file.path, *version, file.member)
        with to.open("wb") as copy:
            while True:
                try:
                    part = next(parts, None)
                except (OSError, UsageError) as error:
                    raise archive_error(file.path, error) from error
                if part is None:
                    return
                copy.write(part)


def _is_copied(file: InputFile) -> bool:
    return file.error is None and bool(file.member or scheme_of(file.path))


def _is_sent_for(file: InputFile) -> bool:
    """Whether a file comes from elsewhere, and before it is its turn."""
    in_turn = file.member and is_in_order(file.path)
    return file.error is None and bool(scheme_of(file.path)) and not in_turn


def _name(address: str) -> str:
    """The last part of an address, as the name of a file: decoders look at its ending."""
    name = address.rpartition("/")[2].replace("\0", "_")
    stem, suffix = Path(name).stem, Path(name).suffix
    short = stem.encode()[: LONGEST_NAME - len(suffix.encode())].decode(errors="ignore")
    return f"{short}{suffix}" if short.strip(".") else f"recording{suffix}"

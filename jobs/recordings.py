"""Recordings of a complete output, found again below a root and read as the run read them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from batch_ser.audio import RawSettings, Reading
from batch_ser.errors import FileError, Incomplete, Reason
from batch_ser.inputs import BelowRoot, InputFile
from jobs.figures import one_line
from jobs.worker import Fetching

T = TypeVar("T")


@dataclass(frozen=True)
class Unreadable:
    """Why nothing can be made of a recording: a reason, and a sentence."""

    reason: str

    @classmethod
    def of(cls, error: Exception) -> "Unreadable":
        if isinstance(error, FileError):
            return cls(one_line(f"{error.reason}: {error}"))
        return cls(one_line(f"{Reason.INTERNAL_ERROR}: {error!r}"))


def from_recordings(
    root: BelowRoot, sizes: Mapping[str, int], use: Callable[[str, str], T]
) -> Iterator[tuple[str, T | Unreadable]]:
    """The name of each recording of `sizes`, in order, and what `use` makes of its name and path.

    `sizes` are those that were scored, in bytes: of another size a recording is another one.

    Raises:
        Incomplete: a copy of a recording, or what `use` makes, cannot be written.
    """
    found = {name: _found(root, name, sizes[name]) for name in sorted(sizes)}
    good = [file for file in found.values() if file.error is None]
    numbers = {file.file: number for number, file in enumerate(good)}
    fetching = Fetching(good)
    for name, file in found.items():
        with ExitStack() as stack:
            made: T | Unreadable
            try:
                if file.error:
                    raise file.error
                made = use(name, stack.enter_context(fetching.local(numbers[name])).path)
            except Incomplete:
                raise
            except Exception as error:  # a fault of one recording keeps no other from being used
                made = Unreadable.of(error)
        yield name, made


def _found(root: BelowRoot, name: str, size_bytes: int) -> InputFile:
    """The recording, unless it is not the one that was scored."""
    file = root.find(name)
    if file.error or file.size_bytes == size_bytes:
        return file
    what = "its archive" if file.member else "it"
    error = FileError(
        Reason.FETCH_FAILED,
        f"another file than the one that was scored: {what} has {file.size_bytes:,} bytes, and had "
        f"{size_bytes:,}",
    )
    return replace(file, error=error)


def reading_of(configuration: Mapping[str, Any]) -> Reading:
    """How a run read its recordings, by its configuration: headerless ones need its options."""
    try:
        options = dict(configuration.get("reading", {}))
        return Reading(RawSettings(**options.pop("raw", {})), **options)
    except (AttributeError, TypeError, ValueError):  # of another version
        return Reading()

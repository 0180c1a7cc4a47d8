"""Recordings of a complete output, found again below a root and read as the run read them."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from batch_ser.audio import RawSettings, Reading
from batch_ser.errors import FileError, Incomplete, Reason
from batch_ser.inputs import BelowRoot, InputFile, printable
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
        local = file
        with ExitStack() as stack:
            made: T | Unreadable
            try:
                if file.error:
                    raise file.error
                local = stack.enter_context(fetching.local(numbers[name]))
                made = use(name, local.path)
            except Incomplete:
                raise
            except Exception as error:  # a fault of one recording keeps no other from being used
                why = Unreadable.of(error).reason
                made = Unreadable(_without_folders(why, root, {file.path, local.path}, name))
        yield name, made


def _without_folders(text: str, root: BelowRoot, paths: Iterable[str], name: str) -> str:
    """What is made of recordings is passed on: it does not state where they are on this machine.

    `paths` are those of the recording and of its copy: its name takes their place.
    """
    for path in sorted(map(printable, paths), key=len, reverse=True):
        text = text.replace(path, printable(name))
    for place in sorted({os.path.abspath(root.place), root.place}, key=len, reverse=True):
        if place != "/":
            shown = printable(place)
            text = text.replace(f"{shown}/", "").replace(f" {shown}", "")
    return text


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

"""What an input is whose files carry further columns or given segments, such as a manifest."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from typing import Protocol

from batch_ser.errors import UsageError
from batch_ser.inputs.files import InputFile
from batch_ser.inputs.given_segments import GivenSegment, pack, unpack

Listed = InputFile | Callable[[], InputFile]  # a function: to be looked up, many at a time
Values = tuple[str | None, ...]


class Source(Protocol):
    """An input that has been checked, so that it can be listed at any time, and more than once.

    Inputs of a job may be of several kinds; their columns become those of the job (`JobColumns`).
    """

    @property
    def further_columns(self) -> tuple[str, ...]:
        """The names of the columns whose values its files or given segments carry, in order."""

    @property
    def has_given_segments(self) -> bool:
        """Whether its files carry given segments, and the segments the further columns."""

    @property
    def has_roles(self) -> bool:
        """Whether its files carry roles of their channels."""

    @property
    def given_channels(self) -> Set[int]:
        """The channels that given segments name."""

    def entries(self) -> Iterator[Listed]:
        """Its files, lazily, with their names in the tables and a value for each column."""


@dataclass(frozen=True)
class JobColumns:
    """The further columns of all inputs of a job, in order of their first appearance."""

    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, sources: Iterable[Source]) -> "JobColumns":
        names = dict.fromkeys(name for each in sources for name in each.further_columns)
        return cls(tuple(names))

    def and_of(self, names: Iterable[str]) -> "JobColumns":
        """With further ones."""
        return JobColumns(tuple(dict.fromkeys((*self.names, *names))))

    def without_source(self, file: InputFile) -> InputFile:
        """A file of an input without columns: null in all of them."""
        return replace(file, columns=(None,) * len(self.names)) if self.names else file

    def converter(self, source: Source) -> Callable[[InputFile], InputFile]:
        """What gives a source's files a value for each column of the job, null without one."""
        own = source.further_columns
        if own == self.names:
            return lambda file: file
        places = [own.index(name) if name in own else None for name in self.names]

        def values(found: Values) -> Values:
            return tuple(None if place is None else found[place] for place in places)

        def converted(file: InputFile) -> InputFile:
            if not source.has_given_segments:
                return replace(file, columns=values(file.columns))
            given = (
                GivenSegment(*each[:3], values(each.columns))
                for each in unpack(file.given_segments)
            )
            return replace(file, given_segments=pack(given))

        return converted


def check_all_given(sources: Iterable[Source], *, others: bool) -> bool:
    """Whether the inputs give segments, which all of them do, or none; `others` do not.

    Raises:
        UsageError: some do.
    """
    found = {each.has_given_segments for each in sources}
    if found == {True} and not others:
        return True
    if True in found:
        raise UsageError(
            "--input: some of the inputs give segments (start_s and end_s), and others do not; "
            "expected it of all, or of none: give them to separate jobs, or --segment speech, "
            "window or whole, which takes the times as values like any other"
        )
    return False

"""Columns from the names of files: call centres write agent, queue and day into them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from batch_ser.errors import UsageError

OPTION = "--name-pattern"
NAME_PATTERN = "name_pattern"  # its key among the settings of an output
REGULAR = "re:"  # begins a regular expression
PLACE = re.compile(r"\{([^{}]*)\}")
ENDING = r"(?:\.[^/.]*)?"
EXAMPLE = "such as {day}/{agent}_{queue}_{call_id}"


@dataclass(frozen=True)
class NamePattern:
    """A pattern with named groups, over names as the tables have them.

    `{name}` stands for anything but `/`, as short as possible from left to right; the pattern
    matches the last parts of a name, whose ending need not be in it. `re:` begins a regular
    expression, which is searched for.

    Raises:
        UsageError: it has no named group, one twice, or is no regular expression.
    """

    text: str

    @classmethod
    def of(cls, text: str | None) -> "NamePattern | None":
        """The pattern of an option, if it is given."""
        return None if text is None else cls(text)

    def __post_init__(self) -> None:
        if not self._regular.groupindex:
            group = "(?P<name>...)" if self.text.startswith(REGULAR) else "{name}"
            raise UsageError(f"{OPTION} {self.text}: found no {group}; expected one, {EXAMPLE}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its groups, in their order."""
        return tuple(self._regular.groupindex)

    def values(self, name: str) -> tuple[str | None, ...] | None:
        """The values of the columns for a file; None if its name does not fit."""
        found = self._regular.search(name)
        return found and tuple(found[column] for column in self.columns)

    def unmatched(self, names: Iterable[str]) -> int:
        """How many names do not fit."""
        return sum(self.values(name) is None for name in names)

    def with_columns(self, rows: pa.Table) -> pa.Table:
        """Rows of one file, with the columns; null where its name does not fit."""
        name = rows["file"][0].as_py() if len(rows) else ""
        values = self.values(name) or (None,) * len(self.columns)
        for column, value in zip(self.columns, values, strict=True):
            repeated = pa.repeat(pa.scalar(value, pa.string()), len(rows))
            at = rows.schema.get_field_index(column)
            if at < 0:
                rows = rows.append_column(column, repeated)
            else:  # of an earlier pattern
                rows = rows.set_column(at, column, repeated)
        return rows

    def check_apart(self, taken: Iterable[str]) -> None:
        """Refuse columns that the tables have already.

        Raises:
            UsageError: there is one.
        """
        if both := sorted(set(self.columns).intersection(taken)):
            raise UsageError(
                f"{OPTION} {self.text}: the tables have a column {both[0]} already; expected "
                "another name for this one"
            )

    @property
    def _regular(self) -> re.Pattern[str]:
        """Compiled; `re` keeps the latest ones."""
        try:
            return re.compile(_regular(self.text))
        except re.error as error:
            raise UsageError(f"{OPTION} {self.text}: not a pattern: {error}") from error


def _regular(text: str) -> str:
    if text.startswith(REGULAR):
        return text.removeprefix(REGULAR)
    pieces = PLACE.split(text)  # text and names in turn
    for name in pieces[1::2]:
        if not name.isidentifier():
            raise UsageError(
                f"{OPTION} {text}: found {{{name}}}, expected a name of letters, digits and _, "
                f"{EXAMPLE}"
            )
    fixed, names = pieces[::2], pieces[1::2]
    _check(text, fixed, names)
    groups = [f"(?P<{name}>[^/]+?)" for name in names]
    joined = "".join(re.escape(a) + b for a, b in zip(fixed, [*groups, ""], strict=True))
    return f"(?:^|/){joined}{ENDING}$"


def _check(text: str, fixed: list[str], names: list[str]) -> None:
    """Refuse what is a mistyped pattern.

    Raises:
        UsageError: a brace alone, a name twice, or two names with nothing between them.
    """
    problem = ""
    if any(brace in each for each in fixed for brace in "{}"):
        problem = "a brace that does not belong to a {name}"
    elif twice := [name for name in names if names.count(name) > 1]:
        problem = f"{{{twice[0]}}} twice"
    elif "" in fixed[1:-1]:
        problem = "two names with nothing between them, so that the first has one letter"
    if problem:
        raise UsageError(f"{OPTION} {text}: found {problem}; expected a pattern {EXAMPLE}")

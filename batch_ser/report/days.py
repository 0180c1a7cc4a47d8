"""Which column states the day of a call."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

YEARS = range(1980, 2101)
MOST_DAYS = 3_660  # ten years
LEAST = 8  # characters of a date: 20261129
WORDS = ("day", "date")  # in the names of columns that are looked at first


def day_of(text: str | None) -> date | None:
    """The day of a date or time in ISO 8601, such as 2026-11-29 or 20261129T101500."""
    text = (text or "").strip()
    if len(text) < LEAST:
        return None
    try:
        day = datetime.fromisoformat(text).date()
    except ValueError:
        return None
    return day if day.year in YEARS else None


def find_day_column(
    rows: Iterable[Mapping[str, str | None]], columns: Sequence[str], first: Sequence[str] = ()
) -> str | None:
    """The column all of whose values are days, of which there are two or more; None without.

    Of several, one of `first` is taken, then one that is named like a day.
    """
    days: dict[str, set[date]] = {name: set() for name in columns}
    for row in rows:
        for name in [*days]:
            if not (row[name] or "").strip():
                continue
            if (day := day_of(row[name])) is None or len(days[name]) > MOST_DAYS:
                del days[name]
            else:
                days[name].add(day)
        if not days:
            return None
    found = [name for name in days if len(days[name]) > 1]

    def order(name: str) -> tuple[bool, bool]:
        return name not in first, not any(word in name.lower() for word in WORDS)

    return min(found, key=order, default=None)

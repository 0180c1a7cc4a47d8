"""Values beside recordings in archives, as a manifest would hold them."""

import json

from batch_ser.cells import carried_text

MAX_JSON_BYTES = 64_000
MAX_NAMES = 200  # of one archive's columns: a hostile one could have a million


def value_text(value: object) -> str | None:
    """A value as text; None where there is none, or it is no text, such as bytes."""
    if value is None or value != value:  # NaN, the gap of pandas  # noqa: PLR0124
        return None
    try:
        return carried_text(value)
    except ValueError:
        return None


def json_values(data: bytes) -> dict[str, str | None]:
    """The texts, numbers and truth values of a JSON object, as text; none where it is not one."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    named = (
        (value_text(name), value_text(value))
        for name, value in values.items()
        if not isinstance(value, list | dict)
    )
    return {name: text for name, text in named if name}

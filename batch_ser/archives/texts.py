"""Values of JSON and Parquet as a CSV manifest would hold them."""

import json

MAX_JSON_BYTES = 64_000
MAX_NAMES = 200  # of one archive's columns: a hostile one could have a million


def text_of(value: object) -> str | None:
    """A value as text; None where there is none."""
    if value is None or value != value:  # NaN, the gap of pandas  # noqa: PLR0124
        return None
    if isinstance(value, str):
        return value.encode(errors="surrogatepass").decode(errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def json_values(data: bytes) -> dict[str, str | None]:
    """The scalars of a JSON object, as text; none where it is not one."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {
        text_of(name) or "": text_of(value)
        for name, value in values.items()
        if not isinstance(value, dict | list)
    }

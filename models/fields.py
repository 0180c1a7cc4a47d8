"""Values of dataclass fields from a file, checked by their annotations before they are used.

A checkpoint may come from anyone: a size that is a string ends a job with a traceback, and one of
ten million fills the memory, unless it is refused first.
"""

import reprlib
from collections.abc import Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

LARGEST = 1_000_000  # of a number; no size of a layer is near
MAX_LAYERS = 200  # each is built before it is compared with the weights
MAX_ENTRIES = 1_000  # of a list
MAX_CHARACTERS = 100_000  # of a text


class Checked:
    """Base of frozen dataclasses whose values may come from a file."""

    def __post_init__(self) -> None:
        check_fields(self)


def check_fields(instance: Any) -> None:
    """Check every field, and make lists, as JSON has them, into tuples where those are expected.

    Raises:
        ValueError: one has another type, or is too large.
    """
    hints = get_type_hints(type(instance))
    for field in fields(instance):
        value = getattr(instance, field.name)
        if get_origin(hints[field.name]) is tuple and isinstance(value, list | range):
            value = tuple(value)
            object.__setattr__(instance, field.name, value)
        check_value(field.name, value, hints[field.name])


def check_value(name: str, value: object, hint: Any) -> None:
    """Check one value by an annotation.

    Raises:
        ValueError: it has another type, or is too large.
    """
    if not _fits(value, hint):
        expected = str(hint) if get_args(hint) else hint.__name__
        raise ValueError(
            f"{name}: found {reprlib.repr(value)}, expected {expected}, with numbers of at most "
            f"{LARGEST:,} and lists of at most {MAX_ENTRIES:,} entries"
        )
    if "layers" in name and isinstance(value, int) and value > MAX_LAYERS:
        raise ValueError(f"{name}: found {value}, expected at most {MAX_LAYERS}")


def _fits(value: object, hint: Any) -> bool:
    """Whether a value has the type of an annotation, and its numbers are finite and not absurd."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is tuple:
        return isinstance(value, tuple) and _entries_fit(value, inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _is_plain(key, str) and _fits(value[key], inner[1]) for key in value
        )
    return hint is Any or _is_plain(value, hint)


def _is_plain(value: object, hint: Any) -> bool:
    """Whether a value is a number, a text, a boolean or None of the type of an annotation."""
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    if isinstance(value, int | float) and hint in (int, float):
        right = hint is float or isinstance(value, int)
        return right and abs(value) <= LARGEST  # which NaN is not
    if isinstance(value, str):
        return hint is str and len(value) <= MAX_CHARACTERS and _is_text(value)
    return isinstance(value, hint)


def _entries_fit(values: tuple[object, ...], inner: tuple[Any, ...]) -> bool:
    if inner[-1] is Ellipsis:
        return len(values) <= MAX_ENTRIES and all(_fits(each, inner[0]) for each in values)
    return len(values) == len(inner) and all(map(_fits, values, inner))


def _is_text(value: str) -> bool:
    """Whether it can be written: JSON may hold halves of surrogate pairs."""
    return value == value.encode("utf-8", "ignore").decode()


def check_json(name: str, value: object) -> None:
    """Check all numbers, texts and lists within JSON whose keys are those of a library.

    Raises:
        ValueError: one is too large, or a text cannot be written.
    """
    if isinstance(value, Mapping):
        for key in value:
            check_json(f"{name}.{key}", value[key])
    elif isinstance(value, list):
        if len(value) > MAX_ENTRIES:
            raise ValueError(f"{name}: found {len(value):,} entries, expected {MAX_ENTRIES:,}")
        for each in value:
            check_json(name, each)
    elif value is not None:
        check_value(name, value, bool | float | str)

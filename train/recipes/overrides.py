"""A recipe's fields, changed and shown as text: `--set FIELD=VALUE`, `--show`."""

import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from batch_ser.errors import UsageError
from train.augmentation import Augment
from train.recipes.presets import RECIPES, Recipe
from train.recipes.settings import Distillation, LDASettings

TYPES: dict[Any, str] = {  # as `--set` takes them
    str: "a word", int: "a whole number", float: "a number", bool: "true or false",
    tuple: "numbers such as [1, 2]", dict: "an object such as {}", types.NoneType: "none",
    Augment: "its fields one by one, such as augment.gain_db=6",
    Distillation: "its fields one by one, such as distil.epochs=9",
    LDASettings: "its fields one by one, such as lda.shrinkage=0.5",
}  # fmt: skip


def find_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """A recipe by its name, with fields changed by `field=value`, `augment.field=value` ...

    Raises:
        UsageError: no such recipe, no such field, or a value of the wrong kind.
    """
    if name not in RECIPES:
        raise UsageError(f"--recipe {name}: expected one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    for text in overrides:
        path, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--set {text}: expected FIELD=VALUE")
        recipe = _changed(recipe, path.strip().split("."), _value(value.strip()), text)
    return recipe


def _value(text: str) -> Any:
    """JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return None if text in ("none", "None") else text


def _changed(preset: Any, path: list[str], value: Any, text: str) -> Any:
    """A dataclass with one field changed, checked against the field's type."""
    if path[0] == "name" or path[0] not in {each.name for each in fields(preset)}:
        known = ", ".join(each.name for each in fields(preset) if each.name != "name")
        raise UsageError(f"--set {text}: no field {path[0]!r}; expected one of {known}")
    present = getattr(preset, path[0])
    if len(path) == 1:
        hint = typing.get_type_hints(type(preset))[path[0]]
        return replace(preset, **{path[0]: _as_type(value, hint, text)})
    if isinstance(present, Mapping):
        return replace(preset, **{path[0]: {**present, ".".join(path[1:]): value}})
    if not is_dataclass(present):
        raise UsageError(f"--set {text}: {path[0]} has no fields of its own")
    return replace(preset, **{path[0]: _changed(present, path[1:], value, text)})


def _as_type(value: Any, hint: Any, text: str) -> Any:
    """The value as the field's type: float from whole numbers, tuples from lists."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        kind = typing.get_origin(option) or option
        if kind is tuple and isinstance(value, list | tuple) and all(map(_is_number, value)):
            return tuple(map(float, value))
        if kind is float and _is_number(value):
            return float(value)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
    names = (TYPES[typing.get_origin(option) or option] for option in options)
    raise UsageError(f"--set {text}: expected {' or '.join(names)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_text(recipe: Recipe) -> str:
    """Every field and its value, one a line, as `--set` takes them."""
    return "\n".join([f"recipe {recipe.name}", *_lines(recipe, "  ")])


def _lines(preset: Any, before: str) -> Iterator[str]:
    for each in fields(preset):
        value = getattr(preset, each.name)
        if is_dataclass(value):
            yield from _lines(value, f"{before}{each.name}.")
        elif each.name != "name":
            yield f"{before}{each.name}={json.dumps(value)}"

"""A recipe's fields, changed and shown as text: `--set FIELD=VALUE`, `--show`."""

import json
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from batch_ser.errors import UsageError
from train.augmentation import Augmentation
from train.recipes.presets import RECIPES
from train.recipes.recipe import Recipe
from train.recipes.settings import (
    Distillation,
    HeadSettings,
    LDASettings,
    LinearFit,
    Optimisation,
)

EXPECTED: dict[Any, str] = {  # by the type of a field
    str: "a word",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "numbers such as [1, 2]",
    dict: "an object such as {}",
    types.NoneType: "none",
    Augmentation: "its fields one by one, such as augmentation.gain_db=6",
    Distillation: "its fields one by one, such as distillation.epochs=9",
    Optimisation: "its fields one by one, such as optimisation.epochs=9",
    LinearFit: "its fields one by one, such as linear.max_iterations=900",
    LDASettings: "its fields one by one, such as lda.shrinkage=0.5",
    HeadSettings: "its fields one by one, such as head.label_variance=0.2",
}
# fields of this group have the names of others': `--set epochs=5` never means them
WITHOUT_SHORT_NAMES = "distillation"


def find_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """A recipe by its name, with fields changed by `field=value` or `group.field=value`.

    A field of a group also goes by its own name where no other group has one of that name;
    `distillation` does not count, and its fields need their full names.

    Raises:
        UsageError: no such recipe, no such field, or a value that the field cannot have.
    """
    if name not in RECIPES:
        raise UsageError(f"--recipe {name}: expected one of {', '.join(RECIPES)}")
    values = RECIPES[name].stored()
    for text in overrides:
        field, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--set {text}: expected FIELD=VALUE")
        path = _full_path(field.strip().split("."), text)
        _change(Recipe, values, path, _parsed(value.strip()), text)
    recipe: Recipe = _built(Recipe, values)  # once, when fields that need each other have changed
    return recipe


def _parsed(text: str) -> Any:
    """JSON, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return None if text in ("none", "None") else text


def _full_path(path: list[str], text: str) -> list[str]:
    """The path of a field, with its group where only its short name is given."""
    hints = typing.get_type_hints(Recipe)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    having = [name for name, kind in groups.items() if path[0] in typing.get_type_hints(kind)]
    if path[0] in hints or not having:
        return path
    short = [name for name in having if name != WITHOUT_SHORT_NAMES]
    if len(short) != 1:
        full = " or ".join(f"{name}.{path[0]}" for name in having)
        raise UsageError(f"--set {text}: found an ambiguous name, expected {full}")
    return [*short, *path]


def _change(kind: Any, values: dict[str, Any], path: list[str], value: Any, text: str) -> None:
    """Change one of the values of a dataclass, checked against the field's type."""
    name, *further = path
    hints = {field: hint for field, hint in typing.get_type_hints(kind).items() if field != "name"}
    if name not in hints:
        raise UsageError(
            f"--set {text}: no field {name!r}; expected one of {', '.join(hints)} "
            "(--recipe NAME --show prints all of them)"
        )
    if not further:
        values[name] = _as_type(value, hints[name], text)
    elif is_dataclass(hints[name]):
        _change(hints[name], values[name], further, value, text)
    elif isinstance(values[name], dict):
        values[name][".".join(further)] = value
    else:
        raise UsageError(f"--set {text}: {name} has no fields of its own")


def _built(kind: Any, values: dict[str, Any]) -> Any:
    """A dataclass and those in it, from the values of their fields."""
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            name: _built(hints[name], value) if is_dataclass(hints[name]) else value
            for name, value in values.items()
        }
    )


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
    expected = (EXPECTED[typing.get_origin(option) or option] for option in options)
    raise UsageError(f"--set {text}: expected {' or '.join(expected)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_text(recipe: Recipe) -> str:
    """Every field and its value, one a line, as `--set` takes them."""
    return "\n".join([f"recipe {recipe.name}", *_lines(recipe, "  ")])


def _lines(group: Any, before: str) -> Iterator[str]:
    for each in fields(group):
        value = getattr(group, each.name)
        if is_dataclass(value):
            yield from _lines(value, f"{before}{each.name}.")
        elif each.name != "name":
            yield f"{before}{each.name}={json.dumps(value)}"

"""Recipes: named presets of everything that a training does."""

from dataclasses import dataclass
from typing import Any

from batch_ser.errors import UsageError


@dataclass(frozen=True)
class FrozenRecipe:
    """A linear head on the pooled layers of a frozen encoder, fitted as a logistic regression."""

    name: str
    architecture: str
    settings: dict[str, Any]
    speeds: tuple[float, ...] = (1.0,)  # the training side is also played at these speeds
    regularisation: float = 0.01  # inverse strength, scikit-learn's C
    max_iterations: int = 500


RECIPES: dict[str, FrozenRecipe] = {
    "whisper-frozen": FrozenRecipe(
        "whisper-frozen", "whisper", {"taps": [2, 3, 4]}, speeds=(1.0, 0.9, 1.1)
    ),
}


def find_recipe(name: str) -> FrozenRecipe:
    """A recipe by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in RECIPES:
        raise UsageError(f"--recipe {name}: expected one of {', '.join(RECIPES)}")
    return RECIPES[name]

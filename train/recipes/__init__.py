"""What a training does: settings, presets, `--set`, and what does not go together."""

from train.recipes.contradictions import check_ordinary, check_together
from train.recipes.overrides import as_text, find_recipe
from train.recipes.presets import RECIPES
from train.recipes.recipe import Recipe
from train.recipes.settings import (
    Distillation,
    HeadSettings,
    LDASettings,
    LinearFit,
    Optimisation,
)

__all__ = [
    "RECIPES",
    "Distillation",
    "HeadSettings",
    "LDASettings",
    "LinearFit",
    "Optimisation",
    "Recipe",
    "as_text",
    "check_ordinary",
    "check_together",
    "find_recipe",
]

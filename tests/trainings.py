"""Small trainings: every recipe with networks and epochs of a size for tests."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from train.recipes.presets import RECIPES
from train.recipes.recipe import Recipe
from train.run import TrainConfig

WHISPER = (
    "settings.layers=2",
    "settings.d_model=32",
    "settings.heads=2",
    "settings.taps=[1,2]",
)
TDNN = ("settings.channels=16", "settings.predicted=8", "settings.hidden=8")
SETS: dict[str, tuple[str, ...]] = {
    "ast": ("epochs=6", "learning_rate=0.003", "pretrained_rate=0.001"),
    "vgg": ("epochs=3", "batch_size=2"),  # many steps, for the running means of batch norm
    "mfcc-cnn": ("epochs=3",),
    "acnt": ("epochs=3", "settings.transformer_dim=16", "learning_rate=0.003"),
    "gap-cnn": ("epochs=4", "settings.channels=[8]", "learning_rate=0.02"),
    "whisper-frozen": (*WHISPER, "settings.frozen_layers=2", "speeds=[1]"),
    "whisper-mlp": (*WHISPER, "settings.hidden=32", "epochs=6", "views=2"),
    "accurate": ("settings.d_model=32", "settings.heads=2", "settings.hidden=8"),
    "student": (*TDNN, "distillation.epochs=4", "distillation.views=2"),
    "fast": TDNN,
    "whisper": (*WHISPER, "settings.frozen_layers=1", "epochs=3"),
    "hf": ("epochs=6", "learning_rate=0.01", "pretrained_rate=0.003"),
}
assert SETS.keys() | {"head"} == RECIPES.keys()  # which has no network of its own


def training(
    tree: Path, out: Path, recipe: str = "gap-cnn", *sets: str, **rest: Any
) -> TrainConfig:
    """A training on half of a tree's recordings or more, on the CPU."""
    settings: dict[str, Any] = {"split": "random:60/20/20", "device": "cpu"} | rest
    return TrainConfig(
        data=(f"ravdess:{tree}",),
        recipe=recipe,
        out=str(out),
        overrides=("batch_size=8", *SETS[recipe], *sets),
        **settings,
    )


def optimised(recipe: Recipe, **settings: Any) -> Recipe:
    """A recipe with other settings of its optimisation."""
    return replace(recipe, optimisation=replace(recipe.optimisation, **settings))

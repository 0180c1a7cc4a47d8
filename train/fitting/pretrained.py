"""The pretrained encoder in a file: that of a checkpoint, or plain weights of Whisper's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from batch_ser.errors import CheckpointError, UsageError
from models.checkpoint import (
    CheckpointInfo,
    is_checkpoint,
    read_info,
    read_shapes,
    read_weights,
)
from models.compatibility import check_compatible
from models.loading import SHIPPED
from models.whisper import WhisperSettings
from train.recipes import Recipe

ENCODER = "encoder."  # before the names of a checkpoint's weights
WHISPER = "the encoder of Whisper tiny.en (Hugging Face names)"
RECIPE_OF = {"whisper": "accurate", "tdnn": "fast"}  # that takes a checkpoint's encoder
MARK = "encoder"  # in a checkpoint's `corpora`: what its encoder rests on


@dataclass(frozen=True)
class PretrainedEncoder:
    """The weights of an encoder, without a prefix, and the metadata of their checkpoint."""

    name: str  # as `--init` takes it
    weights: dict[str, torch.Tensor]
    info: CheckpointInfo | None = None  # None: no checkpoint, plain weights


def read_checkpoint_encoder(path: Path, recipe: Recipe, architecture: str) -> PretrainedEncoder:
    """The encoder of a checkpoint, which a recipe takes.

    Raises:
        CheckpointError: the checkpoint is damaged, or of another architecture.
    """
    info, name = read_info(path), name_of(path)
    if info.architecture != architecture:
        other = RECIPE_OF.get(info.architecture)
        raise CheckpointError(
            f"--init {name}: found a checkpoint of the architecture {info.architecture}, expected "
            f"one of {architecture}, whose encoder the recipe {recipe.name} takes"
            + (f"; for the encoder of this one give --recipe {other}" if other else "")
        )
    try:
        check_compatible(info, read_shapes(path))
    except CheckpointError as error:
        raise CheckpointError(f"--init {name}: {error}") from error
    weights = {
        each.removeprefix(ENCODER): tensor
        for each, tensor in read_weights(path).items()
        if each.startswith(ENCODER)
    }
    return PretrainedEncoder(name, weights, info)


def read_whisper_encoder(path: Path, recipe: Recipe) -> PretrainedEncoder:
    """Whisper's encoder, from a checkpoint or from a file of it alone.

    Raises:
        CheckpointError: there are no such weights, or the checkpoint is of another architecture.
    """
    if path.is_dir():
        raise CheckpointError(
            f"--init {path}: found a folder, expected a safetensors file with {WHISPER}, or a "
            f"checkpoint of the recipe {RECIPE_OF['whisper']}"
        )
    if not path.is_file():
        raise CheckpointError(
            f"there are no weights at {path}: set BATCH_SER_SHARED, or give --init FILE with "
            f"{WHISPER}{_way_out(recipe)}"
        )
    if is_checkpoint(path):
        return read_checkpoint_encoder(path, recipe, "whisper")
    return PretrainedEncoder(name_of(path), read_weights(path))


def _way_out(recipe: Recipe) -> str:
    """Where the included checkpoint has all the layers that a recipe needs."""
    own = recipe.settings.get("layers", WhisperSettings.layers)
    included = read_info(SHIPPED / "accurate.safetensors").settings["layers"]
    if (recipe.distillation.layers if recipe.distillation.epochs else own) > included:
        return ""
    return f"; or --init accurate, for its first {included} layers in the included checkpoint"


def check_front_end(encoder: PretrainedEncoder, settings: Mapping[str, Any]) -> None:
    """Refuse another front end than the one that an encoder of a checkpoint was trained with.

    Raises:
        UsageError: it is another one.
    """
    info = encoder.info
    if info and dict(info.front_end_settings) != dict(settings):
        raise UsageError(
            f"--init {encoder.name}: its encoder was trained with the front_end "
            f"{dict(info.front_end_settings)}, found {dict(settings)}; expected the same"
        )


def name_of(path: Path) -> str:
    """The name of a checkpoint of the package, or the path of another file."""
    return path.stem if path.parent == SHIPPED else str(path)


def corpora_of_encoder(info: CheckpointInfo) -> tuple[dict[str, Any], ...]:
    """What the encoder of a checkpoint rests on, as far as its metadata state that.

    Nothing: it stayed as it was in a file of Whisper's weights, in an earlier version, which did
    not state that.
    """
    settings, recipe = info.settings, info.recipe
    whisper = info.architecture == "whisper"
    frozen = whisper and settings.get("frozen_layers") in (None, settings.get("layers"))
    fine_tuned = recipe.get("fit") == "gradient" and not frozen
    if fine_tuned or recipe.get("distillation", {}).get("epochs"):
        return info.corpora
    marked = tuple(each for each in info.corpora if each.get(MARK))
    return marked if marked or whisper else info.corpora

"""Weights of Whisper's encoder, for a network that starts with them and for a teacher."""

from pathlib import Path

from batch_ser.errors import CheckpointError, UsageError
from models.directory import one_line
from models.whisper import WhisperClassifier, WhisperSettings
from train.fitting.pretrained import (
    WHISPER,
    PretrainedEncoder,
    check_front_end,
    corpora_of_encoder,
    read_whisper_encoder,
)
from train.recipes import RECIPES, Recipe

NORM = "layer_norm."  # after the last block
HEAD_WIDTH = 64  # numbers of each of Whisper's attention heads, in every size


def load_teacher(path: Path, recipe: Recipe, axes: int) -> WhisperClassifier:
    """The first layers of a pretrained encoder, whose states a student predicts along `axes`."""
    encoder, layers = read_whisper_encoder(path, recipe), recipe.distillation.layers
    first = encoder.weights.get("conv1.weight")
    if first is None:
        raise CheckpointError(f"--init {path}: not the weights of an encoder, expected {WHISPER}")
    width = len(first)
    if axes > width * layers:
        raise UsageError(
            f"--init {path}: found {layers} layers of {width} numbers, and {axes} axes along "
            "which a student predicts them (settings.predicted); expected at most as many"
        )
    teacher = WhisperClassifier(
        2,
        taps=range(1, layers + 1),
        layers=layers,
        final_norm=False,
        d_model=width,
        heads=_heads_of(encoder) or max(1, width // HEAD_WIDTH),
    )
    _load(teacher, encoder, recipe)
    teacher.eval()
    return teacher


def load_whisper(network: WhisperClassifier, path: Path, recipe: Recipe) -> None:
    """Load a pretrained encoder; of a larger one, the first blocks, without its final norm.

    Raises:
        CheckpointError: there are no such weights, or they do not fit.
        UsageError: a checkpoint's encoder learned with another front end than the recipe's.
    """
    _load(network, read_whisper_encoder(path, recipe), recipe)


def _load(network: WhisperClassifier, encoder: PretrainedEncoder, recipe: Recipe) -> None:
    weights, settings = encoder.weights, network.settings
    _check_layers(encoder, settings, recipe)
    if encoder.info and any("recordings" in each for each in corpora_of_encoder(encoder.info)):
        check_front_end(encoder, dict(network.front_end_settings) | recipe.front_end)
    further = [name for name in weights if _block_of(name) >= settings.layers]
    norm = [] if settings.final_norm else [name for name in weights if name.startswith(NORM)]
    chosen = {name: weights[name] for name in weights.keys() - {*further, *norm}}
    heads = _heads_of(encoder)
    try:
        network.encoder.load_state_dict(chosen)
        if heads and heads != settings.heads:  # which no weight's shape depends on
            raise RuntimeError(f"it has {heads} attention heads, the recipe {settings.heads}")
    except RuntimeError as error:
        raise CheckpointError(
            f"--init {encoder.name}: not the weights of this encoder, expected {WHISPER} or "
            f"another of the sizes in the recipe's settings: {one_line(error)}"
        ) from error


def _check_layers(encoder: PretrainedEncoder, settings: WhisperSettings, recipe: Recipe) -> None:
    """Refuse an encoder with fewer layers, or whose final norm is of no use."""
    count, name = 1 + max(map(_block_of, encoder.weights), default=-1), encoder.name
    field = "distillation" if recipe.distillation.epochs else "settings"
    wanted = f"{field}.layers={settings.layers}"
    if 0 < count < settings.layers:
        accurate = RECIPES["accurate"].settings["layers"]
        way_out = f", or --recipe accurate, which takes {accurate}" if count >= accurate else ""
        raise CheckpointError(
            f"--init {name}: found {count} layers, and the recipe {recipe.name} with {wanted}; "
            f"expected a file with at least as many, such as {WHISPER}{way_out}"
        )
    if count > settings.layers and settings.final_norm:
        raise CheckpointError(
            f"--init {name}: found {count} layers with {wanted}; the norm after the last one is of "
            f"no use there: expected settings.final_norm=false, or settings.layers={count}"
        )
    if encoder.info and settings.final_norm and not encoder.info.settings.get("final_norm", True):
        raise CheckpointError(
            f"--init {name}: found {count} layers without a norm after the last one; expected "
            "settings.final_norm=false"
        )


def _heads_of(encoder: PretrainedEncoder) -> int | None:
    """How many attention heads a checkpoint's encoder has; plain weights do not state it."""
    if encoder.info is None:
        return None
    return int(encoder.info.settings.get("heads", WhisperSettings.heads))


def _block_of(name: str) -> int:
    """The number of the block that a weight belongs to, from 0; -1: to none."""
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "layers" and parts[1].isdigit() else -1

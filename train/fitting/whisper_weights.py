"""Weights of Whisper's encoder, for a network that starts with them and for a teacher."""

from pathlib import Path

import torch

from batch_ser.errors import CheckpointError, UsageError
from models.checkpoint import read_weights
from models.directory import one_line
from models.whisper import WhisperClassifier

WHISPER = "the encoder of Whisper tiny.en (Hugging Face names)"
NORM = "layer_norm."  # after the last block
HEAD_WIDTH = 64  # numbers of each of Whisper's attention heads, in every size


def load_teacher(path: Path, layers: int, axes: int) -> WhisperClassifier:
    """The first layers of a pretrained encoder, whose states a student predicts along `axes`."""
    first = _whisper_weights(path).get("conv1.weight")
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
        heads=max(1, width // HEAD_WIDTH),
    )
    load_whisper(teacher, path)
    teacher.eval()
    return teacher


def _whisper_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights of Whisper's encoder, under the names of Hugging Face."""
    if path.is_dir():
        raise CheckpointError(
            f"--init {path}: found a folder, expected a safetensors file with {WHISPER}"
        )
    if not path.is_file():
        raise CheckpointError(
            f"there are no weights at {path}: set BATCH_SER_SHARED, or give --init FILE with "
            f"{WHISPER}"
        )
    return read_weights(path)


def load_whisper(network: WhisperClassifier, path: Path) -> None:
    """Load a pretrained encoder; of a larger one, the first blocks, without its final norm.

    Raises:
        CheckpointError: there are no such weights, or they do not fit.
    """
    weights, settings = _whisper_weights(path), network.settings
    further = [name for name in weights if _block_of(name) >= settings.layers]
    if further and settings.final_norm:
        count = 1 + max(map(_block_of, further))
        raise CheckpointError(
            f"--init {path}: found {count} layers with settings.layers={settings.layers}; the norm "
            f"after the last one is of no use there: expected settings.final_norm=false, or "
            f"settings.layers={count}"
        )
    norm = [] if settings.final_norm else [name for name in weights if name.startswith(NORM)]
    chosen = {name: weights[name] for name in weights.keys() - {*further, *norm}}
    try:
        network.encoder.load_state_dict(chosen)
    except RuntimeError as error:
        raise CheckpointError(
            f"--init {path}: not the weights of this encoder, expected {WHISPER} or another of "
            f"the sizes in the recipe's settings: {one_line(error)}"
        ) from error


def _block_of(name: str) -> int:
    """The number of the block that a weight belongs to, from 0; -1: to none."""
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "layers" and parts[1].isdigit() else -1

"""Where a training starts: a network with random weights, or an encoder that comes trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from batch_ser.errors import CheckpointError, UsageError
from models.architectures import build
from models.ast import AST, check_sizes, load_pretrained, settings_of
from models.checkpoint import CheckpointInfo, read_info, read_weights
from models.directory import is_of_head, one_line, read_directory
from models.hf import HFNet, build_from_directory
from models.loading import SHIPPED, shipped_checkpoints
from models.network import Network
from models.tdnn import TDNN
from models.whisper import WhisperClassifier
from train.features import freeze
from train.recipes import Recipe
from train.splits import shared_folder

WHISPER = "the encoder of Whisper tiny.en (Hugging Face names)"
NORM = "layer_norm."  # after the last block
ENCODER = "encoder."  # of a checkpoint's weights
DEFAULT_STUDENT = "fast"  # the shipped checkpoint whose encoder the recipe `fast` takes
HEAD_WIDTH = 64  # numbers of each of Whisper's attention heads, in every size


def init_path(recipe: Recipe, init: str | None) -> Path | None:
    """What a recipe's pretrained weights are read from: `--init`, or what stands in for it.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    if _takes_encoder(recipe, init):
        return _checkpoint_path(init or DEFAULT_STUDENT)
    if init:
        return Path(init)
    if recipe.architecture == "whisper" or recipe.distil.epochs:
        return shared_folder() / "weights" / "whisper_tiny_en_encoder.safetensors"
    return None


def _takes_encoder(recipe: Recipe, init: str | None) -> bool:
    """Whether a recipe's encoder is that of a checkpoint of the same architecture."""
    mine = recipe.architecture == "tdnn" and not recipe.distil.epochs
    return mine and (init is not None or recipe.fit == "lda")


def _checkpoint_path(init: str) -> Path:
    path = SHIPPED / f"{init}.safetensors" if init in shipped_checkpoints() else Path(init)
    if not path.is_file():
        known = ", ".join(shipped_checkpoints())
        raise CheckpointError(
            f"--init {init}: there is no such checkpoint; expected one of {known}, or a "
            ".safetensors file that `batch-ser train` wrote"
        )
    return path


def encoder_corpora(recipe: Recipe, init: str | None) -> tuple[dict[str, Any], ...]:
    """The corpora that a recipe's encoder was distilled on before, as a checkpoint lists them."""
    path = init_path(recipe, init)
    return read_info(path).corpora if path and _takes_encoder(recipe, init) else ()


def new_network(recipe: Recipe, labels: int, init: str | None, seed: int) -> Network:
    """A network for so many labels, its weights random by the seed, or those of `--init`.

    Raises:
        CheckpointError: settings or weights do not fit.
        UsageError: the recipe needs `--init`, or cannot use one.
    """
    torch.manual_seed(seed)
    name = recipe.architecture
    if name == "hf":
        return _from_directory(labels, init)
    if name == "ast" and init:
        directory = read_directory(Path(init))
        check_sizes(directory, recipe.settings)
        network = build("ast", labels, settings_of(directory) | recipe.settings)
        assert isinstance(network, AST)
        load_pretrained(network, Path(init))
        return network
    network = build(name, labels, recipe.settings)
    path = init_path(recipe, init)
    if isinstance(network, WhisperClassifier) and path:
        _load_whisper(network, path)
        if recipe.fit == "lda":
            freeze(network, recipe.half)
    elif isinstance(network, TDNN) and path and not recipe.distil.epochs:
        _load_student(network, path, recipe)
    elif init and not recipe.distil.epochs:
        raise UsageError(f"--init {init}: recipe {recipe.name} starts from random weights")
    else:
        network.pretrained = None  # nothing in it is: no part learns at a slower rate
    return network


def pretrained_teacher(recipe: Recipe, init: str | None, axes: int) -> WhisperClassifier:
    """The frozen encoder that a recipe distils to so many axes, with its first layers tapped.

    Raises:
        CheckpointError: there are no such weights, or not so many layers.
        UsageError: its states have fewer numbers than there are axes.
    """
    path, layers = init_path(recipe, init), recipe.distil.layers
    assert path is not None
    first = _whisper_weights(path).get("conv1.weight")
    if first is None:
        raise CheckpointError(f"--init {path}: not the weights of an encoder, expected {WHISPER}")
    width = len(first)
    if axes > width * layers:
        raise UsageError(
            f"--init {path}: found {layers} layers of {width} numbers, and {axes} axes to which a "
            "student takes them (settings.predicted); expected at most as many"
        )
    teacher = WhisperClassifier(
        2, taps=range(1, layers + 1), layers=layers, final_norm=False, d_model=width,
        heads=max(1, width // HEAD_WIDTH),
    )  # fmt: skip
    _load_whisper(teacher, path)
    teacher.eval()
    return teacher


def _from_directory(labels: int, init: str | None) -> HFNet:
    if not init:
        raise UsageError("--recipe hf: expected --init DIR with a Hugging Face directory")
    directory = read_directory(Path(init))
    network = build_from_directory(directory, labels)
    state = network.model.state_dict()
    fits = {
        name: tensor
        for name, tensor in directory.weights(with_head=False).items()
        if name in state and state[name].shape == tensor.shape
    }
    lacking = [name for name in state if name not in fits and not is_of_head(name)]
    if lacking:
        raise CheckpointError(
            f"--init {init}: its weights do not fit its config.json ({lacking[0]})"
        )
    network.model.load_state_dict(fits, strict=False)
    return network


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


def _load_whisper(network: WhisperClassifier, path: Path) -> None:
    """Load a pretrained encoder; of a larger one, the first blocks, without its final norm."""
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


def _load_student(network: TDNN, path: Path, recipe: Recipe) -> None:
    """Load the encoder of a checkpoint, and freeze it.

    Raises:
        CheckpointError: the checkpoint is of another architecture, or of other sizes.
        UsageError: its encoder was trained with another front end than the recipe's.
    """
    info = read_info(path)
    if info.architecture != recipe.architecture:
        raise CheckpointError(
            f"--init {path}: found a checkpoint of the architecture {info.architecture}, expected "
            f"one of {recipe.architecture}, whose encoder the recipe {recipe.name} takes"
        )
    _check_front_end(info, dict(network.front_end_settings) | recipe.front_end, path)
    weights = {
        name.removeprefix(ENCODER): tensor
        for name, tensor in read_weights(path).items()
        if name.startswith(ENCODER)
    }
    mine, its = network.settings.dilations, tuple(info.settings.get("dilations", ()))
    try:
        network.encoder.load_state_dict(weights)
        if its and its != mine:  # which no weight's shape depends on
            raise RuntimeError(f"it has the dilations {its}, the recipe {mine}")
    except RuntimeError as error:
        raise CheckpointError(
            f"--init {path}: its encoder does not fit the recipe's settings, expected the same "
            f"sizes: {one_line(error)}"
        ) from error
    freeze(network, recipe.half)


def _check_front_end(info: CheckpointInfo, mine: Mapping[str, Any], path: Path) -> None:
    if dict(info.front_end_settings) != dict(mine):
        raise UsageError(
            f"--init {path}: its encoder was trained with the front_end "
            f"{dict(info.front_end_settings)}, found {dict(mine)}; expected the same"
        )

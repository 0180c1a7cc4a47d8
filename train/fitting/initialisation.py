"""The network that a training starts with: of random weights, or with a pretrained encoder."""

from pathlib import Path

import torch

from batch_ser.errors import CheckpointError, UsageError
from models.architectures import build
from models.ast import AST, check_sizes, load_pretrained, settings_of
from models.directory import is_of_head, one_line, read_directory
from models.hf import HFNet, build_from_directory
from models.loading import SHIPPED, shipped_checkpoints
from models.network import Network
from models.tdnn import TDNN
from models.whisper import WhisperClassifier
from train.features import freeze
from train.fitting.pretrained import check_front_end, read_checkpoint_encoder
from train.fitting.whisper_weights import load_teacher, load_whisper
from train.recipes import Recipe
from train.splits import shared_folder

DEFAULT_HEAD = "accurate"  # the shipped checkpoint whose head the recipe `head` moves
DEFAULT_STUDENT = "fast"  # the shipped checkpoint whose encoder the recipe `fast` takes


def init_path(recipe: Recipe, init: str | None) -> Path | None:
    """The file of a recipe's pretrained weights: that of `--init`, or the recipe's own.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    if recipe.fit == "head":
        return _checkpoint_path(init or DEFAULT_HEAD)
    if _takes_encoder(recipe, init):
        return _checkpoint_path(init or DEFAULT_STUDENT)
    takes_whisper = recipe.architecture == "whisper" or bool(recipe.distillation.epochs)
    if init:
        included = takes_whisper and init in shipped_checkpoints()
        return SHIPPED / f"{init}.safetensors" if included else Path(init)
    if takes_whisper:
        return shared_folder() / "weights" / "whisper_tiny_en_encoder.safetensors"
    return None


def _takes_encoder(recipe: Recipe, init: str | None) -> bool:
    """Whether a recipe's encoder is that of a checkpoint, not of Whisper's weights."""
    possible = recipe.architecture == "tdnn" and not recipe.distillation.epochs
    return possible and (init is not None or recipe.fit == "lda")


def _checkpoint_path(init: str) -> Path:
    path = SHIPPED / f"{init}.safetensors" if init in shipped_checkpoints() else Path(init)
    if not path.is_file():
        known = ", ".join(shipped_checkpoints())
        raise CheckpointError(
            f"--init {init}: there is no such checkpoint; expected one of {known}, or a "
            ".safetensors file that `batch-ser train` wrote"
        )
    return path


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
        load_whisper(network, path, recipe)
        if recipe.fit == "lda":
            freeze(network, float16=recipe.float16)
    elif isinstance(network, TDNN) and path and not recipe.distillation.epochs:
        _load_encoder(network, path, recipe)
    elif init and not recipe.distillation.epochs:
        raise UsageError(f"--init {init}: recipe {recipe.name} starts from random weights")
    else:
        network.pretrained = None  # no part of it is: all learns at one rate
    return network


def pretrained_teacher(recipe: Recipe, init: str | None, axes: int) -> WhisperClassifier:
    """The frozen encoder whose states a recipe's student predicts along so many axes.

    Raises:
        CheckpointError: there are no such weights, or not so many layers.
        UsageError: its states have fewer numbers than there are axes.
    """
    path = init_path(recipe, init)
    assert path is not None
    return load_teacher(path, recipe, axes)


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


def _load_encoder(network: TDNN, path: Path, recipe: Recipe) -> None:
    """Load the encoder of a checkpoint, and freeze it.

    Raises:
        CheckpointError: the checkpoint is of another architecture, or of other sizes.
        UsageError: its encoder was trained with another front end than the recipe's.
    """
    encoder = read_checkpoint_encoder(path, recipe, recipe.architecture)
    assert encoder.info is not None  # it is a checkpoint's
    check_front_end(encoder, dict(network.front_end_settings) | recipe.front_end)
    expected = network.settings.dilations
    found = tuple(encoder.info.settings.get("dilations", ()))
    try:
        network.encoder.load_state_dict(encoder.weights)
        if found and found != expected:  # which no weight's shape depends on
            raise RuntimeError(f"it has the dilations {found}, the recipe {expected}")
    except RuntimeError as error:
        raise CheckpointError(
            f"--init {encoder.name}: its encoder does not fit the recipe's settings, expected the "
            f"same sizes: {one_line(error)}"
        ) from error
    freeze(network, float16=recipe.float16)

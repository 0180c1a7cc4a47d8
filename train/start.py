"""Where a training starts: a network with random or pretrained weights, and a device."""

from pathlib import Path

import torch

from batch_ser.errors import CheckpointError, UsageError
from models.architectures import build
from models.ast import AST, check_sizes, load_pretrained, settings_of
from models.checkpoint import read_weights
from models.directory import in_short, of_head, read_directory
from models.hf import HFNet, network_of
from models.network import Network
from models.whisper import WhisperClassifier
from train.published import shared_folder
from train.recipes import Recipe


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
    if isinstance(network, WhisperClassifier):
        _load_encoder(network, init)
    elif init:
        raise UsageError(f"--init {init}: recipe {recipe.name} starts from random weights")
    else:
        network.pretrained = None  # nothing in it is: no part learns at a slower rate
    return network


def _from_directory(labels: int, init: str | None) -> HFNet:
    if not init:
        raise UsageError("--recipe hf: expected --init DIR with a Hugging Face directory")
    directory = read_directory(Path(init))
    network = network_of(directory, labels)
    state = network.model.state_dict()
    fits = {
        name: tensor
        for name, tensor in directory.weights(with_head=False).items()
        if name in state and state[name].shape == tensor.shape
    }
    lacking = [name for name in state if name not in fits and not of_head(name)]
    if lacking:
        raise CheckpointError(
            f"--init {init}: its weights do not fit its config.json ({lacking[0]})"
        )
    network.model.load_state_dict(fits, strict=False)
    return network


def _load_encoder(network: WhisperClassifier, init: str | None) -> None:
    """The pretrained encoder, from `--init` or the shared folder."""
    path = (
        Path(init) if init else shared_folder() / "weights" / "whisper_tiny_en_encoder.safetensors"
    )
    expected = "the encoder of Whisper tiny.en (Hugging Face names)"
    if path.is_dir():
        raise CheckpointError(
            f"--init {path}: found a folder, expected a safetensors file with {expected}"
        )
    if not path.is_file():
        raise CheckpointError(
            f"there are no weights at {path}: set BATCH_SER_SHARED, or give --init FILE with "
            f"{expected}"
        )
    try:
        network.encoder.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise CheckpointError(
            f"--init {path}: not the weights of this encoder, expected {expected} or another of "
            f"the sizes in the recipe's settings: {in_short(error)}"
        ) from error

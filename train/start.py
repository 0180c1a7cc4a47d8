"""Where a training starts: a network with random or pretrained weights, and a device."""

from dataclasses import replace
from pathlib import Path

import torch

from batch_ser.errors import CheckpointError, UsageError
from models.architectures import build
from models.ast import AST, check_sizes, load_pretrained, settings_of
from models.checkpoint import read_weights
from models.directory import in_short, of_head, read_directory
from models.hf import HFNet, network_of
from models.network import Network
from models.scoring import WIDEST
from models.whisper import WhisperClassifier
from train.published import shared_folder
from train.recipes import Recipe

WITH_EXPERTS = ("whisper", "tdnn")


def new_network(
    recipe: Recipe, labels: int, init: str | None, seed: int, corpora: int = 1
) -> Network:
    """A network for so many labels, its weights random by the seed, or those of `--init`.

    With `adapt` it has an expert for each of so many corpora.

    Raises:
        CheckpointError: settings or weights do not fit.
        UsageError: the recipe needs `--init`, or cannot use one, or wants experts of a network
            that cannot have any.
    """
    torch.manual_seed(seed)
    name = recipe.architecture
    if recipe.adapt:
        recipe = _with_experts(recipe, corpora)
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


def _with_experts(recipe: Recipe, corpora: int) -> Recipe:
    if "experts" in recipe.settings or recipe.fit == "linear":
        raise UsageError(
            f"recipe {recipe.name}: found adapt={recipe.adapt:g} with fit={recipe.fit} and the "
            f"settings {', '.join(recipe.settings)}; expected fit=gradient, and no "
            "settings.experts: they are as many as there are corpora"
        )
    if recipe.architecture not in WITH_EXPERTS:
        raise UsageError(
            f"recipe {recipe.name}: found adapt={recipe.adapt:g} and {recipe.architecture}, which "
            f"has no second head; expected adapt=0, or one of {', '.join(WITH_EXPERTS)}"
        )
    return replace(recipe, settings=recipe.settings | {"experts": corpora})


def check_experts(network: Network, recipe: Recipe) -> None:
    """Refuse a second head that nothing fits, and one that makes embeddings too wide to store.

    Raises:
        UsageError: it is one of these.
    """
    if network.adapts != bool(recipe.adapt):
        raise UsageError(
            f"recipe {recipe.name}: found settings.experts={recipe.settings['experts']} and "
            "adapt=0; expected adapt above 0, which gives each corpus an expert"
        )
    if network.adapts and network.embedding_width > WIDEST:
        corpora, labels = network.known.shape
        raise UsageError(
            f"recipe {recipe.name}: {network.heard_width} numbers that the head hears, and "
            f"{corpora} x {labels} that experts say ({corpora} corpora, {labels} labels), make an "
            f"embedding of {network.embedding_width}, expected at most {WIDEST}; give a lower "
            "--set settings.hidden (a student's is its teacher's), or adapt=0"
        )


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

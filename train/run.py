"""One training: corpora, folds with their figures, the checkpoint on everything, its card."""

import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from batch_ser import __version__
from batch_ser.errors import CheckpointError, UsageError
from models.architectures import ARCHITECTURES
from models.checkpoint import CheckpointInfo, save_checkpoint
from models.whisper import WhisperClassifier
from train import metrics
from train.card import card
from train.corpora import RAVDESS_EMOTIONS, Corpus, Utterance, overview, read_corpus
from train.embed import Embeddings, embed
from train.fit import fit_head, fit_temperature, set_head
from train.recipes import FrozenRecipe, find_recipe
from train.splits import Fold, default_split, read_folds, shared_folder


@dataclass(frozen=True)
class TrainConfig:
    """One training, as the command line gives it."""

    data: tuple[str, ...]
    recipe: str
    out: str | None = None
    init: str | None = None
    split: str = ""
    seed: int = 0
    cache: str | None = None

    def overview(self) -> str:
        """What would be trained on."""
        return "\n\n".join(f"{data}\n{overview(read_corpus(data)[1])}" for data in self.data)


def train(config: TrainConfig) -> str:
    """Fit a checkpoint, write it with its card, and return the figures as lines.

    Raises:
        UsageError: the data, recipe, split or weights cannot be used as given.
    """
    if config.out is None or not config.out.endswith(".safetensors"):
        raise UsageError(f"--out {config.out}: expected a name ending in .safetensors")
    if len(config.data) != 1:
        raise UsageError("--data: this recipe takes one corpus in this version")
    recipe = find_recipe(config.recipe)
    corpus, utterances = read_corpus(config.data[0])
    folds = read_folds(config.split or default_split(), corpus.name, utterances)
    torch.manual_seed(config.seed)
    network = _network(recipe, len(_labels(utterances)), config.init)
    cache = Path(config.cache) if config.cache else None
    embeddings = embed(network, utterances, recipe.speeds, cache)
    figures = _evaluate(folds, embeddings, utterances, recipe)
    if len(folds) == 1:  # one fold: a checkpoint that has not seen its test side
        seen = ~folds[0].test
        utterances = [each for each, keep in zip(utterances, seen, strict=True) if keep]
        embeddings = embeddings[:, seen]
    info = _fit(network, embeddings, utterances, recipe, corpus, Path(config.out), figures)
    save_checkpoint(Path(config.out), info, network)
    Path(config.out).with_suffix(".md").write_text(card(info, all_seen=len(folds) != 1))
    lines = [metrics.as_line(name, values) for name, values in figures.items()]
    return "\n".join([*lines, f"written: {config.out}"])


def _labels(utterances: Sequence[Utterance]) -> tuple[str, ...]:
    """The labels that occur, in the order of the shared table."""
    present = {each.label for each in utterances}
    return tuple(label for label in RAVDESS_EMOTIONS if label in present)


def _truth(utterances: Sequence[Utterance]) -> NDArray[np.int64]:
    labels = _labels(utterances)
    return np.array([labels.index(each.label) for each in utterances])


def _network(recipe: FrozenRecipe, labels: int, init: str | None) -> WhisperClassifier:
    """A network with its pretrained encoder."""
    path = (
        Path(init) if init else shared_folder() / "weights" / "whisper_tiny_en_encoder.safetensors"
    )
    network = ARCHITECTURES[recipe.architecture](labels, **recipe.settings)
    assert isinstance(network, WhisperClassifier)
    if not path.is_file():
        raise CheckpointError(
            f"there are no weights at {path}: set BATCH_SER_SHARED, or give --init FILE with the "
            "encoder of Whisper tiny.en (Hugging Face names)"
        )
    try:
        state = {name: tensor.float() for name, tensor in load_file(path).items()}
        network.encoder.load_state_dict(state)
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"--init {path}: not the weights of this encoder: {error}") from error
    return network.eval()


def _evaluate(
    folds: Sequence[Fold],
    embeddings: Embeddings,
    utterances: Sequence[Utterance],
    recipe: FrozenRecipe,
) -> dict[str, dict[str, float]]:
    """Each fold's figures by a head that has not seen its test side, and their mean."""
    truth, labels = _truth(utterances), _labels(utterances)
    figures = {}
    for fold in folds:
        head = fit_head(embeddings[:, ~fold.test], truth[~fold.test], recipe)
        best = head.logits(embeddings[0, fold.test]).argmax(1)
        figures[fold.name] = metrics.scores(
            [labels[i] for i in truth[fold.test]], [labels[i] for i in best]
        )
        print(metrics.as_line(fold.name, figures[fold.name]), file=sys.stderr)
    if len(folds) > 1:
        figures["mean"] = metrics.mean_scores(list(figures.values()))
    return figures


def _fit(
    network: WhisperClassifier,
    embeddings: Embeddings,
    utterances: Sequence[Utterance],
    recipe: FrozenRecipe,
    corpus: Corpus,
    out: Path,
    figures: dict[str, dict[str, float]],
) -> CheckpointInfo:
    """Fit the head that ships, and say what it is."""
    truth = _truth(utterances)
    set_head(network, fit_head(embeddings, truth, recipe))
    speakers = [each.speaker for each in utterances]
    temperature = fit_temperature(embeddings, truth, speakers, recipe)
    about = {
        "name": corpus.title,
        "licence": corpus.licence,
        "source": corpus.source,
        "recordings": len(utterances),
        "speakers": len(set(speakers)),
    }
    return CheckpointInfo(
        name=out.stem,
        architecture=recipe.architecture,
        settings=asdict(network.settings),
        labels=_labels(utterances),
        front_end=network.front_end,
        rate_hz=network.rate_hz,
        max_input_s=network.max_input_s,
        licence=f"{corpus.licence} (research and evaluation; trained on {corpus.title})",
        temperature=temperature,
        segment={"method": "speech", "min_s": 0.5, "max_s": 8.0},
        corpora=(about,),
        recipe=asdict(recipe),
        metrics=figures,
        made_with={
            "batch-ser": __version__,
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
            "machine": platform.machine(),
        },
    )

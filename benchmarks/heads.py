"""Offset heads on a shipped encoder, fitted with recordings left out, for `accuracy.py`.

Whisper's encoder is frozen, and the student's never met a corpus that is judged here, so that only
heads are fitted anew: statistics of all recordings are computed once and cached in `.evaluate/`, a
head takes a second. What a head is calibrated by (the temperature, and how far offsets spread) is
never asked of recordings that it is judged on.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from prompts import prompts
from trained import ASED, DATA, NEMO, RAVDESS, TUREV

from batch_ser.audio import Samples
from batch_ser.features import front_end
from models.batching import consecutive
from models.checkpoint import CheckpointInfo, save_checkpoint
from models.expectation import NATURAL_SHARES
from models.loading import load_network
from models.network import Network
from models.scoring import Checkpoint
from train.data import (
    Data,
    Utterance,
    in_order,
    load_utterance,
    possible_labels,
    read,
    read_data,
)
from train.features import Store
from train.fitting import (
    FittedHead,
    Part,
    Sample,
    Task,
    fit_sample,
    parts_left_out,
    sample_of,
    set_head,
)
from train.recipes import RECIPES, LDASettings

WORK = Path(".evaluate")
CORPORA = {"ravdess": "RAVDESS", "ased": "ASED", "turev": "TurEV-DB", "nemo": "nEMO"}
LANGUAGES = ("en", "es", "fr")
BATCH = 8
LONGEST_S = 30
Load = Callable[[Utterance, int], Samples]  # a recording's samples at a rate
Statistics = tuple[NDArray[np.float32], NDArray[np.float64]]  # (n, width), lengths in s (n,)
Rows = NDArray[np.int64]


def training_data() -> tuple[str, ...]:
    """The training data of the shipped checkpoints, as `--data` takes it."""
    ordinary = [DATA / "speechocean", DATA / "orders", prompts(WORK)]
    return RAVDESS, ASED, TUREV, NEMO, *(f"ordinary:{each}" for each in ordinary)


@dataclass(frozen=True)
class Heads:
    """A shipped encoder, and heads on it that some recordings were left out of."""

    recipe: str
    path: Path  # a checkpoint with the encoder
    lda: LDASettings | None = None  # instead of the recipe's
    cuts: bool = True  # whether heads are fitted on cuts beside whole recordings
    natural: Mapping[str, float] = field(default_factory=dict)  # shares other than the shipped

    @property
    def _settings(self) -> LDASettings:
        return self.lda or RECIPES[self.recipe].lda

    @cached_property
    def loaded(self) -> tuple[CheckpointInfo, Network]:
        info, network = load_network(self.path)
        shift, scale, _ = network.projection_parts()
        shift.zero_()  # statistics as they are
        scale.fill_(1.0)
        return info, network.eval()

    @cached_property
    def data(self) -> Data:
        return read(training_data(), None)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        return in_order(each.label for each in self.data.utterances if not each.is_ordinary)

    @cached_property
    def corpora(self) -> NDArray[np.str_]:
        return np.array([each.corpus for each in self.data.utterances])

    @cached_property
    def sample(self) -> Sample:
        """Statistics of all training recordings in the recipe's views."""
        _, network = self.loaded
        recipe, data = RECIPES[self.recipe], self.data
        store = Store(network, recipe, data.utterances, data.contents, WORK / "cache")
        everything = np.arange(len(data.utterances))
        targets = np.array([self.labels.index(each.label) for each in data.utterances])
        possible = possible_labels(data, self.labels)
        task = Task(
            recipe=recipe,
            source=store,
            targets=targets,
            possible=possible,
            labels=self.labels,
            train=everything,
            valid=everything[:0],
            seed=0,
            device=torch.device("cpu"),
        )
        sample = sample_of(network, task, data.utterances)
        return sample if self.cuts else sample.rows(np.arange(len(sample)) < len(everything))

    @cached_property
    def parts(self) -> dict[str, Part]:
        """Each corpus, embedded by a fit on the others."""
        width, settings = self._width, self._settings
        names = sorted(set(self.corpora))
        found = parts_left_out(self.sample, self.labels, width, settings)
        return {names[int(part.sample.corpora[0])]: part for part in found}

    @property
    def _width(self) -> int:
        return self.loaded[1].embedding_width

    def without(self, left_out: NDArray[np.bool_], judged: Sequence[str] = ()) -> "Head":
        """A head that recordings (n,) were left out of; corpora in `judged` do not calibrate it."""
        sample = self.sample.rows(~left_out[self.sample.recordings])
        settings = self._settings
        parts = [part for name, part in self.parts.items() if name not in judged]
        found = fit_sample(sample, self.labels, self._width, settings, parts)
        info, network = self.loaded
        network = deepcopy(network)
        set_head(network, found)
        info = replace(
            info,
            temperature=found.temperature,
            labels=self.labels,
            natural=NATURAL_SHARES | dict(self.natural),
        )
        return Head(Checkpoint(info, network, "left out"), found, info, network)

    def without_corpus(self, corpus: str) -> "Head":
        return self.without(self.corpora == corpus, (corpus,))

    def without_language(self, language: str, corpus: str = "") -> "Head":
        """A head fitted without the prompts of a language, and without a corpus."""
        prompts_of = [
            each.is_ordinary and each.path.parent.name == language for each in self.data.utterances
        ]
        return self.without(np.array(prompts_of) | (self.corpora == corpus), (corpus,))

    def statistics(self, utterances: Sequence[Utterance], load: Load, name: str) -> Statistics:
        """Of recordings as `load` returns them; cached by the encoder's digest and `name`."""
        _, network = self.loaded
        digest = hashlib.sha256()
        for key, tensor in network.encoder.state_dict().items():
            digest.update(key.encode() + tensor.numpy().tobytes())
        digest.update(repr([each.name for each in utterances]).encode())
        path = WORK / "statistics" / f"{digest.hexdigest()[:16]}-{name}.npz"
        if not path.exists():
            values, durations_s = self._computed(utterances, load)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, values=values, durations_s=durations_s)
        stored = np.load(path)
        return stored["values"], stored["durations_s"]

    @torch.inference_mode()
    def _computed(self, utterances: Sequence[Utterance], load: Load) -> Statistics:
        info, network = self.loaded
        features_of = front_end(info.front_end, info.front_end_settings)
        found, durations_s = [], []
        for part in consecutive(len(utterances), BATCH):
            samples = [load(each, info.rate_hz) for each in utterances[part]]
            features = features_of(samples, torch.device("cpu"))
            found.append(network.statistics(network.forward_frozen(features)).numpy())
            durations_s += [len(each) / info.rate_hz for each in samples]
        return np.concatenate(found), np.array(durations_s)

    def as_they_are(self, rows: Rows) -> Statistics:
        """Of training recordings as they are: the recipe's first view."""
        count = len(self.data.utterances)
        return self.sample.statistics[:count][rows], self.sample.durations_s[:count][rows]


@dataclass(frozen=True)
class Head:
    """A fitted head, as a checkpoint that scores."""

    checkpoint: Checkpoint
    found: FittedHead
    info: CheckpointInfo
    network: Network

    def embed(self, statistics: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings (n, width), as the network computes them."""
        fitted = self.found.fitted
        found = np.zeros((len(statistics), self.network.embedding_width), np.float32)
        found[:, : len(fitted.projection)] = (statistics - fitted.shift) @ fitted.projection.T
        return found

    def save(self, path: Path) -> Path:
        """A file for a job."""
        save_checkpoint(path, self.info, self.network)
        return path


def utterances_of(data: str) -> list[Utterance]:
    """Recordings of one `--data`."""
    return read_data([data])


def as_they_are(utterance: Utterance, rate_hz: int) -> Samples:
    """A recording, at most what a network takes at once."""
    return load_utterance(utterance, rate_hz)[: LONGEST_S * rate_hz]

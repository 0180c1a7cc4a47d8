"""The second head: experts hear what differs from a voice's mean, each for its own corpus."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from numpy.typing import NDArray
from trainings import training

from batch_ser.errors import UsageError
from batch_ser.features import Features
from batch_ser.groups import Group
from models.adapting import variety_of
from models.architectures import build
from models.checkpoint import read_info, read_weights
from models.network import OPEN
from models.whisper import WhisperClassifier
from train.experts import embeddings_of, fit_experts, fit_gate, judge_adapted
from train.groups import means_of, one_hot
from train.recipes import Recipe
from train.run import train
from train.store import Kept
from train.task import Task

VOICES, MOODS, EACH = 8, 3, 4  # of each of two corpora; recordings of each voice in each mood
WIDTH = 128  # of what SMALL pools
Rows = NDArray[np.int64]


@dataclass
class Pooled:
    """A store of what was pooled already: rows of statistics, one view of each."""

    values: NDArray[np.float32]

    def view(self, number: int, passing: bool = False) -> Kept:
        del number, passing
        ends = np.arange(1, len(self.values) + 1)
        return Kept(self.values, ends, ends - 1, np.ones_like(ends))

    def pieces(self) -> Kept:
        return self.view(0)

    def picture(self, recording: int, number: int) -> torch.Tensor:
        raise NotImplementedError


def speakers(seed: int) -> tuple[NDArray[np.float32], Rows, Rows, Rows]:
    """Statistics of recordings, their voices, corpora and moods.

    A voice moves all of its recordings far away, a corpus too; what a mood does is little beside
    that, and another thing in each corpus.
    """
    draw = np.random.default_rng(seed)
    shape = (2, VOICES, MOODS, EACH)
    corpus, voice, mood, _ = (each.ravel() for each in np.indices(shape))
    values = draw.standard_normal((len(mood), WIDTH)) * 0.3
    values += draw.standard_normal((2 * VOICES, WIDTH))[corpus * VOICES + voice] * 3
    values[:, 0] += np.where(corpus, 60, -60)
    values[np.arange(len(mood)), 1 + corpus * MOODS + mood] += 3
    return values.astype(np.float32), corpus * VOICES + voice, corpus, mood


def task_of(values: NDArray[np.float32], voice: Rows, corpus: Rows, mood: Rows) -> Task:
    rows = np.arange(len(mood))
    return Task(
        recipe=Recipe("test", "whisper", adapt=0.1), store=Pooled(values), targets=mood,
        possible=np.ones((len(mood), MOODS), np.bool_), labels=("a", "b", "c"), train=rows,
        valid=rows, seed=0, device=torch.device("cpu"), groups=(voice, corpus),
        corpora=one_hot(corpus, rows),
    )  # fmt: skip


def fitted_on(task: Task) -> WhisperClassifier:
    torch.manual_seed(0)
    network = WhisperClassifier(MOODS, **SMALL, hidden=16, experts=task.corpora.shape[1]).eval()
    assert len(network.shift) == WIDTH
    fit_experts(network, task)
    fit_gate(network, task)
    return network


@pytest.fixture(scope="module")
def fitted() -> WhisperClassifier:
    return fitted_on(task_of(*speakers(0)))


def right(network: WhisperClassifier, task: Task) -> float:
    """The share of recordings that are told relative to their voices."""
    return float((judge_adapted(network, task).argmax(1) == task.targets[task.valid]).mean())


def test_voices_never_heard_are_told_by_what_differs_from_their_mean(
    fitted: WhisperClassifier,
) -> None:
    values, voice, corpus, mood = speakers(1)
    task = task_of(values, voice, corpus, mood)
    assert right(fitted, task) > 0.95
    embeddings = embeddings_of(fitted, task, task.valid)
    shares = torch.full((len(mood), 2), 0.5)
    alone = fitted.classify_adapted(embeddings, shares).argmax(1).numpy()
    assert (alone == mood).mean() < 0.7  # as they are, voices stand between the moods


def test_what_all_statistics_have_in_common_makes_no_difference() -> None:
    """They need not be standardised, as those of a network that learns are not."""
    values, *rest = speakers(0)
    values[:, 1] += 30
    assert right(fitted_on(task_of(values, *rest)), task_of(values, *rest)) > 0.95


def test_voices_that_nobody_names_are_heard_in_their_corpus() -> None:
    """As the spread is, by which a group's variety is judged."""
    values, voice, corpus, mood = speakers(0)
    nobody = np.where(corpus == 1, -1, voice)
    found = fitted_on(task_of(values, nobody, corpus, mood))
    named = fitted_on(task_of(values, np.where(corpus == 1, 99, voice), corpus, mood))
    assert torch.allclose(found.spread, named.spread)


def test_a_label_that_an_expert_never_heard_is_not_its_own() -> None:
    """It neither judges it nor counts in a group's variety."""
    values, voice, corpus, mood = speakers(0)
    task = task_of(values, voice, corpus, mood)
    without = np.flatnonzero(~((corpus == 1) & (mood == 2)))
    network = fitted_on(replace(task, train=without))
    assert network.known.tolist() == [[1, 1, 1], [1, 1, 0]]
    group = Group(np.ones(1), np.zeros((1, 22)), np.zeros((1, 22)), np.ones((1, MOODS)))
    group.variances[:, : 16 + 5] = np.square(network.spread.numpy()[:21])
    assert variety_of(network, group)[0] == pytest.approx(1)


def test_a_corpus_that_only_validates_has_no_say() -> None:
    values, voice, corpus, mood = speakers(0)
    task = task_of(values, voice, corpus, mood)
    network = fitted_on(replace(task, train=np.flatnonzero(corpus == 0)))
    offsets = torch.zeros(1, network.embedding_width)
    assert network.resemblance(offsets)[0, 1].item() == pytest.approx(OPEN / 2)
    logits = network.classify_adapted(network.centre[None], torch.tensor([[0.5, 0.5]]))
    assert torch.isfinite(logits).all()


def test_a_group_s_mean_tells_whose_expert_counts(fitted: WhisperClassifier) -> None:
    values, voice, corpus, mood = speakers(2)
    task = task_of(values, voice, corpus, mood)
    offsets = means_of(embeddings_of(fitted, task, task.valid), voice) - fitted.centre
    assert (fitted.resemblance(offsets).argmax(1).numpy() == corpus).all()


def test_each_label_is_judged_by_the_experts_that_know_it() -> None:
    network = build("tdnn", 3, {"channels": 4, "hidden": 2, "experts": 2}).eval()
    network.known.copy_(torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]))
    embeddings = torch.randn(5, 2 + 6, generator=torch.manual_seed(0))
    first, second, both = (
        network.classify_adapted(embeddings, torch.tensor([each]).repeat(5, 1))
        for each in ([1.0, 0.0], [0.0, 1.0], [0.5, 0.5])
    )
    assert torch.allclose(both[:, 0], (first[:, 0] + second[:, 0]) / 2, atol=1e-6)
    half = np.log(0.5)  # of those who count know it
    assert torch.allclose(both[:, 1], first[:, 1] + half, atol=1e-6)
    assert torch.allclose(both[:, 2], second[:, 2] + half, atol=1e-6)
    assert (first.softmax(1)[:, 2] < 1e-4).all()  # nobody who counts knows it
    assert not torch.allclose(first[:, 0], second[:, 0])


def test_groups_resemble_corpora_and_never_one_alone() -> None:
    network = build("tdnn", 3, {"channels": 4, "hidden": 2, "experts": 2}).eval()
    offsets = torch.zeros(2, 8)
    offsets[0], offsets[1] = 1e4, -1e4
    shares = network.resemblance(offsets)
    assert torch.allclose(shares.sum(1), torch.ones(2))
    assert torch.allclose(shares.amax(1), torch.tensor(1 - OPEN / 2))
    assert shares[0].argmax() != shares[1].argmax()


def test_an_embedding_is_what_both_heads_hear() -> None:
    """The experts' part is linear: an embedding's mean is what they say of the mean."""
    network = WhisperClassifier(MOODS, **SMALL, hidden=4, experts=2).eval()
    values = torch.randn(6, WIDTH, 1, generator=torch.manual_seed(0))
    features = Features(values, torch.ones(6, dtype=torch.int64))
    embeddings = network.represent(features)
    assert embeddings.shape == (6, network.embedding_width) == (6, 4 + 2 * MOODS)
    mean = Features(values.mean(0, keepdim=True), torch.ones(1, dtype=torch.int64))
    assert torch.allclose(network.represent(mean)[0], embeddings.mean(0), atol=1e-5)
    noise = torch.cat([embeddings[:, :4], torch.full((6, 2 * MOODS), 9.0)], dim=1)
    assert torch.equal(network.classify(noise), network.classify(embeddings))


def test_a_training_leaves_both_heads(finished: Callable[[str], Path]) -> None:
    """They differ, and the checkpoint tells what training embeddings are like."""
    path = finished("accurate") / "checkpoint.safetensors"
    weights = read_weights(path)
    info = read_info(path)
    assert info.settings["experts"] == 1
    assert 0 < info.adapted_temperature != info.temperature  # each head has its own
    assert weights["experts.weight"].abs().max() > 0
    assert (weights["known"] == 1).all()
    assert weights["centre"].abs().max() > 0
    assert (weights["spread"] > 0).all()
    assert not torch.allclose(weights["spread"], torch.ones(()))


@pytest.mark.parametrize(
    ("recipe", "sets", "told"),
    [
        ("accurate", ("adapt=0", "settings.experts=1"), "adapt above 0"),
        ("accurate", ("settings.experts=3",), "as many as there are corpora"),
        ("whisper-frozen", ("adapt=1",), "found adapt=1 with fit=linear"),
        ("accurate", ("settings.hidden=254",), r"embedding of 257, .* lower --set settings.hidden"),
        ("gap-cnn", ("adapt=1",), "gap_cnn, which has no second head; .* whisper, tdnn"),
    ],
)
def test_second_heads_that_cannot_be_are_refused(
    recipe: str, sets: tuple[str, ...], told: str, tree: Path, tmp_path: Path, inits: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match=told):
        train(training(tree, tmp_path / "run", recipe, *sets, init=inits.get(recipe)))

"""The fitting loop: it learns, repeats bit for bit, goes on after a stop, and keeps the best."""

import csv
import itertools
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trainings import optimised

from batch_ser.errors import UsageError
from models.architectures import build
from models.network import Network
from train.augmentation.settings import Augmentation
from train.data.copies import content_of
from train.data.corpora import read_data
from train.features.store import Store
from train.fitting.gradient import _class_weights, fit, log_probabilities
from train.fitting.history import Epoch, best_epoch, better, write_history
from train.fitting.state import State
from train.fitting.task import Task, batches, training_features
from train.recipes.presets import RECIPES
from train.recipes.recipe import Recipe

LABELS = ("neutral", "happy", "angry")
CPU = torch.device("cpu")
SMALL = optimised(
    replace(
        RECIPES["gap-cnn"],
        settings={"channels": [8]},
        views=2,
        front_end={"length_s": 1.0},
        augmentation=Augmentation(
            probability=1.0, noise_snr_db=(20.0, 40.0), time_masks=1, mixup=0.2
        ),
    ),
    epochs=3,
    batch_size=8,
    patience=99,
    learning_rate=0.02,
)
LEARNING = optimised(
    replace(
        SMALL,
        settings={"channels": [8, 16], "dropout": 0.0},
        augmentation=Augmentation(),
        views=1,
    ),
    epochs=25,
    schedule="constant",
    monitor="loss",
)
PLAIN = replace(SMALL, augmentation=Augmentation())
Trained = tuple[Network, list[Epoch]]


@pytest.fixture(scope="module")
def task(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Task]:
    """Makes tasks of 16 recordings to train on and 8 to validate by; features are cached."""
    utterances = read_data([f"ravdess:{tree}"])
    contents = [content_of(each) for each in utterances]
    cache = tmp_path_factory.mktemp("cache")
    targets = np.array([LABELS.index(each.label) for each in utterances])

    def make(recipe: Recipe = SMALL, seed: int = 0, **changes: Any) -> Task:
        store = Store(new(recipe, 0), recipe, utterances, contents, cache)
        rows, every = np.arange(len(utterances)), np.ones((len(utterances), len(LABELS)), np.bool_)
        task = Task(recipe, store, targets, every, LABELS, rows[8:], rows[:8], seed, CPU)
        return replace(task, **changes)

    return make


def new(recipe: Recipe, seed: int) -> Network:
    torch.manual_seed(seed)
    return build(recipe.architecture, len(LABELS), recipe.settings)


def trained(task: Task, state: Path) -> Trained:
    network = new(task.recipe, task.seed)
    network.fit_statistics(training_features(task))
    return network, fit(network, task, state)


def same(one: Network, other: Network) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left)


def without_time(history: list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in history]


def test_a_training_learns_its_training_side(task: Callable[..., Task], tmp_path: Path) -> None:
    own = task(LEARNING)
    own = replace(own, valid=own.train)
    network, history = trained(own, tmp_path / "state")
    assert [epoch.epoch for epoch in history] == list(range(1, LEARNING.optimisation.epochs + 1))
    assert history[-1].train_loss < 0.8 * history[0].train_loss
    found = log_probabilities(network, own, own.train)
    assert np.allclose(np.exp(found).sum(1), 1, atol=1e-6)
    assert (found.argmax(1) == own.targets[own.train]).mean() > 0.6


def test_a_seed_repeats_a_training_bit_for_bit(task: Callable[..., Task], tmp_path: Path) -> None:
    first, history = trained(task(), tmp_path / "a")
    second, again = trained(task(), tmp_path / "b")
    third, other = trained(task(seed=1), tmp_path / "c")
    assert same(first, second)
    assert without_time(history) == without_time(again)
    assert not same(first, third)
    assert history[0].train_loss != other[0].train_loss


def stop(patch: pytest.MonkeyPatch, epoch: int, *, saved: bool) -> None:
    """Press Ctrl-C at an epoch's end: before its state is written, or just after."""
    from train.fitting import gradient as module

    write = module.save_state

    def interrupted(path: Path, state: State, *rest: Any) -> None:
        if saved or len(state.history) < epoch:
            write(path, state, *rest)
        if len(state.history) == epoch:
            raise KeyboardInterrupt

    patch.setattr(module, "save_state", interrupted)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    schedule: str, optimiser: str, task: Callable[..., Task], tmp_path: Path
) -> None:
    recipe = optimised(SMALL, epochs=5, schedule=schedule, optimiser=optimiser, plateau_patience=0)
    unstopped, expected = trained(task(recipe), tmp_path / "unstopped")
    for epoch, saved in ((1, False), (2, True), (4, False)):
        with pytest.MonkeyPatch.context() as patch:
            stop(patch, epoch, saved=saved)
            with pytest.raises(KeyboardInterrupt):
                trained(task(recipe), tmp_path / "stopped")
    network, history = trained(task(recipe), tmp_path / "stopped")
    assert same(network, unstopped)
    assert without_time(history) == without_time(expected)
    rates = {epoch.learning_rate for epoch in history}
    assert (len(rates) == 1) == (schedule == "constant")


def test_a_state_of_another_training_is_refused(task: Callable[..., Task], tmp_path: Path) -> None:
    trained(task(optimised(SMALL, epochs=1)), tmp_path / "state")
    wider = replace(SMALL, settings={"channels": [9]})
    with pytest.raises(UsageError, match=r"not the state of this training .*--restart"):
        trained(task(wider), tmp_path / "state")
    (tmp_path / "state").write_bytes(b"cut off")
    with pytest.raises(UsageError, match="not the state of this training"):
        trained(task(), tmp_path / "state")


def figures(monkeypatch: pytest.MonkeyPatch, uars: Sequence[float]) -> None:
    """Let the valid side's figures be these, epoch by epoch."""
    from train.fitting import gradient as module

    real = module._epoch

    def changed(descent: Any, number: int) -> Epoch:
        uar = uars[number - 1]
        return replace(real(descent, number), valid_uar=uar, valid_loss=1 - uar)

    monkeypatch.setattr(module, "_epoch", changed)


@pytest.mark.parametrize("monitor", ["uar", "loss"])
def test_it_stops_after_its_patience_and_keeps_the_best(
    monitor: str, task: Callable[..., Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = optimised(SMALL, epochs=9, patience=3, monitor=monitor, schedule="constant")
    figures(monkeypatch, [0.2, 0.5, 0.5, 0.4, 0.3, 0.9, 0.9, 0.9, 0.9])
    network, history = trained(task(recipe), tmp_path / "a")
    assert [epoch.epoch for epoch in history] == [1, 2, 3, 4, 5]
    assert best_epoch(history, monitor).epoch == 2  # the first of two equal ones
    second, _ = trained(task(optimised(recipe, epochs=2)), tmp_path / "b")
    assert same(network, second)
    third, _ = trained(task(optimised(recipe, epochs=3, patience=99)), tmp_path / "c")
    assert same(third, second)


def test_the_rate_is_halved_where_the_figures_do_not_improve(
    task: Callable[..., Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = optimised(SMALL, epochs=7, schedule="plateau", plateau_patience=1, monitor="loss")
    # a loss that is slightly worse is no progress
    figures(monkeypatch, [0.5, 0.49998, 0.49996, 0.6, 0.59, 0.59, 0.59])
    _, history = trained(task(recipe), tmp_path / "state")
    shares = [epoch.learning_rate / recipe.optimisation.learning_rate for epoch in history]
    assert shares == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_cosine_warms_up_and_ends_at_nothing(task: Callable[..., Task], tmp_path: Path) -> None:
    recipe = optimised(SMALL, epochs=10, warm_up=0.3, schedule="cosine")
    _, history = trained(task(recipe), tmp_path / "state")
    rates = [epoch.learning_rate for epoch in history]
    assert rates[0] < rates[1] < rates[2] < rates[3] == recipe.optimisation.learning_rate
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))
    assert rates[-1] < 0.1 * recipe.optimisation.learning_rate


def test_class_weights_are_inverse_to_a_label_s_share(
    task: Callable[..., Task], tmp_path: Path
) -> None:
    whole = task(optimised(PLAIN, class_weights=True))
    rare = whole.train[(whole.targets[whole.train] != 2) | (whole.train >= 22)]
    lopsided = replace(whole, train=rare)
    counts = np.bincount(whole.targets[rare])
    weights = _class_weights(lopsided).numpy()
    assert np.allclose(weights * counts, len(rare) / 3)
    assert weights.argmax() == counts.argmin() == 2
    plain = replace(lopsided, recipe=optimised(lopsided.recipe, class_weights=False))
    assert not same(trained(lopsided, tmp_path / "a")[0], trained(plain, tmp_path / "b")[0])


def test_a_corpus_trains_nothing_about_a_label_that_it_lacks(
    task: Callable[..., Task], tmp_path: Path
) -> None:
    """And everything about those that it has, with smoothing and mixup as without."""
    recipe = optimised(SMALL, weight_decay=0.0, label_smoothing=0.2)
    whole = task(recipe)
    two = whole.train[whole.targets[whole.train] != 2]
    lacking = whole.possible.copy()
    lacking[:, 2] = False
    before = new(recipe, 0).state_dict()["head.1.weight"]
    for possible in (whole.possible, lacking):
        own = replace(whole, train=two, possible=possible)
        network, _ = trained(own, tmp_path / str(possible[0, 2]))
        after = network.state_dict()["head.1.weight"]
        assert torch.equal(after[2], before[2]) is not bool(possible[0, 2])
        assert not torch.equal(after[0], before[0])
        predicted = np.exp(log_probabilities(network, own, two))
        assert bool(predicted[:, 2].max() > 1e-6) is bool(possible[0, 2])
        assert np.allclose(predicted.sum(1), 1, atol=1e-6)


@pytest.mark.slow
def test_smoothed_labels_lower_a_network_s_confidence(
    task: Callable[..., Task], tmp_path: Path
) -> None:
    confidence = []
    for smoothing in (0.0, 0.6):
        own = task(optimised(LEARNING, label_smoothing=smoothing))
        own = replace(own, valid=own.train)
        network, _ = trained(own, tmp_path / str(smoothing))
        confidence.append(log_probabilities(network, own, own.train).max(1).mean())
    assert confidence[1] < confidence[0]


def test_statistics_of_the_training_side_are_stored_in_the_network(
    task: Callable[..., Task], tmp_path: Path
) -> None:
    own = task()
    network = new(SMALL, 0)
    network.fit_statistics(training_features(own))
    every = torch.cat([batch.values for batch in training_features(own)]).double()
    mean, deviation = every.mean((0, 2)), every.std((0, 2), correction=0)
    assert torch.allclose(network.scaling.mean[:, 0].double(), mean, atol=1e-3)
    assert torch.allclose(network.scaling.deviation[:, 0].double(), deviation, rtol=1e-3)
    fitted = network.scaling.mean.clone()
    fit(network, own, tmp_path / "state")
    assert torch.equal(network.state_dict()["scaling.mean"], fitted)


def test_a_batch_of_one_learns_too(task: Callable[..., Task], tmp_path: Path) -> None:
    """Batch norm needs two: 16 recordings in batches of 5 leave one."""
    _, history = trained(task(optimised(SMALL, batch_size=5, epochs=1)), tmp_path / "state")
    assert np.isfinite(history[0].train_loss)


def test_history_as_a_table(tmp_path: Path) -> None:
    history = [
        Epoch(n, 0.1, 1 / n, 0.5, 2.0, 0.4, uar, 0.3, 1.0)
        for n, uar in enumerate((0.3, 0.6, 0.6, 0.5), 1)
    ]
    write_history(tmp_path / "history.csv", history)
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["valid_uar"]) for row in rows] == [0.3, 0.6, 0.6, 0.5]
    assert tuple(rows[0]) == tuple(each.name for each in fields(Epoch))
    assert [better(history[:n], "uar") for n in range(1, 5)] == [True, True, False, False]
    assert best_epoch(history, "loss").epoch == 1


def test_the_last_epoch_is_kept_by_that_monitor(
    task: Callable[..., Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = optimised(SMALL, epochs=4, patience=1, monitor="last", schedule="constant")
    figures(monkeypatch, [0.9, 0.5, 0.4, 0.3])
    network, history = trained(task(recipe), tmp_path / "a")
    assert len(history) == 4
    assert best_epoch(history, "last").epoch == 4
    best, _ = trained(task(optimised(recipe, monitor="uar", patience=9)), tmp_path / "b")
    assert not same(network, best)


def test_targets_are_the_labels(task: Callable[..., Task]) -> None:
    plain = task(PLAIN)
    found = torch.cat([batch.targets for batch in batches(plain, 1)])
    rows = np.concatenate(plain.order(1, np.random.default_rng((plain.seed, 1))))
    assert torch.equal(found, torch.eye(3)[torch.from_numpy(plain.targets[rows])])


@pytest.mark.parametrize("bucket_batches", [1, 2])
@pytest.mark.parametrize("size", [3, 4, 5])  # of 16 recordings: the last batch has one, none, one
def test_an_epoch_has_every_recording_once(
    task: Callable[..., Task], bucket_batches: int, size: int
) -> None:
    """But for one that fills up a last batch of a single one: batch norm needs two."""
    some = task(optimised(SMALL, bucket_batches=bucket_batches, batch_size=size))
    for epoch in (1, 2):
        found = some.order(epoch, np.random.default_rng(epoch))
        every = np.concatenate(found)
        assert set(every) == set(some.train)
        assert len(every) == 16 + (16 % size == 1)
        assert all(1 < len(batch) <= size + 1 for batch in found)
    again = some.order(2, np.random.default_rng(2))
    assert all(np.array_equal(*both) for both in zip(found, again, strict=True))
    assert not np.array_equal(np.concatenate(some.order(1, np.random.default_rng(1))), every)


class Lengths:
    """A view of recordings of many lengths."""

    def length(self, number: int) -> int:
        return 7 * number % 24


def test_batches_of_similar_lengths(task: Callable[..., Task]) -> None:
    """With one bucket of all recordings, no batch's lengths lie within another's."""
    recipe = replace(optimised(PLAIN, bucket_batches=100, batch_size=4), views=1)
    some = task(recipe, views={0: Lengths()})
    batches = some.order(1, np.random.default_rng(0))
    edges = sorted((min(each), max(each)) for each in ([7 * n % 24 for n in b] for b in batches))
    assert all(one[1] < other[0] for one, other in itertools.pairwise(edges))

"""Weights of recordings: as a manifest states them, and in each kind of fit."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled import write_csv
from torch import nn
from trainings import training

from batch_ser.errors import UsageError
from batch_ser.features import Features
from models.network import Network
from train.data.dataset import Data
from train.data.manifest import read_manifest
from train.data.utterances import Utterance
from train.fitting.discriminant import Discriminant, LDASettings, Sample, fit_discriminant
from train.fitting.gradient import _class_weights
from train.fitting.linear import fit_linear, held_out_logits
from train.fitting.loss import Batch, loss_of
from train.fitting.task import Task, batches
from train.recipes.presets import RECIPES
from train.recipes.settings import LinearFit
from train.run import train

NAMES = [each.name for each in fields(Sample)]
LINEAR = LinearFit(max_iterations=5_000)
ROWS: list[dict[str, Any]] = [
    {"file": "a.wav", "label": "sad", "weight": "2.5"},
    {"file": "c.wav", "label": "happy", "weight": "1e3"},
    {"file": "sub/b.wav", "label": "sad", "weight": ""},
]


def test_weights_of_a_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read_manifest(write_csv(folder / "labels.csv", ROWS))
    assert [each.weight for each in found] == [2.5, 1000.0, 1.0]
    assert "labels.csv: 1 of 3 lines have no weight and count as 1" in capsys.readouterr().err
    for rows in ([{"file": "a.wav", "label": "sad"}], [ROWS[2]]):
        assert read_manifest(write_csv(folder / "m.csv", rows))[0].weight == 1.0
        assert not capsys.readouterr().err


def test_weights_that_cannot_be_are_faults_with_their_lines(folder: Path) -> None:
    wrong = ("0", "-1", "nan", "inf", "much", "1e300")
    rows = [
        {"file": "a.wav", "label": "sad", "start_s": n / 100, "end_s": 0.4, "weight": each}
        for n, each in enumerate(wrong)
    ]
    with pytest.raises(UsageError) as caught:
        read_manifest(write_csv(folder / "m.csv", rows))
    assert [each.strip() for each in str(caught.value).splitlines()[1:]] == [
        f"line {n}: the weight is {each}, expected a number from 1e-06 to 1e+09, or nothing for 1"
        for n, each in enumerate(wrong, 2)
    ]


def test_other_weights_are_other_data() -> None:
    """And without them the digest is that of versions that had none."""
    one = Utterance(Path("a.wav"), "sad", "", "", "", corpus="calls")
    plain = Data((one,), ("x",)).digest()
    assert plain == Data((replace(one, weight=1.0),), ("x",)).digest()
    assert plain != Data((replace(one, weight=2.0),), ("x",)).digest()
    assert plain == "c592fc20b6f79e2958a17c70f49c2cebb909c21610879d9596d41bb0983422af"


def sample(seed: int = 0, corpora: int = 3) -> Sample:
    """Sixty recordings of four labels in corpora of which each has an offset."""
    draw = np.random.default_rng(seed)
    labels, corpus = np.arange(60) % 4, np.arange(60) // 20 % corpora
    rows = draw.standard_normal((60, 6)) + 2 * np.eye(6)[labels] + 5 * np.eye(6)[corpus]
    every = np.arange(60)
    speakers = corpus * 3 + every % 3
    return Sample(
        rows.astype(np.float32), labels, corpus, speakers, every, np.full(60, 2.0), np.ones(60)
    )


def fitted(rows: Sample) -> Discriminant:
    return fit_discriminant(rows, 4, 5, 0, LDASettings())


def distances(found: Discriminant, rows: Sample) -> np.ndarray:
    """Squared distances (n, labels) from the means at the corpora's offset."""
    apart = found.embed(rows.statistics)[:, None] - found.of_training - found.means
    return np.asarray(np.square(apart).sum(2))


@pytest.mark.parametrize("corpora", [1, 3])
def test_in_a_discriminant_a_weight_of_two_is_the_recording_twice(corpora: int) -> None:
    rows = sample(corpora=corpora)
    double = rows.recordings % 5 < 2  # as many of every label and corpus
    index = np.concatenate([np.arange(60), np.flatnonzero(double)])
    twice = fitted(Sample(*(getattr(rows, name)[index] for name in NAMES)))
    weighted = fitted(replace(rows, weights=1.0 + double))
    assert np.allclose(distances(weighted, rows), distances(twice, rows), rtol=1e-4, atol=1e-4)
    plain = fitted(rows)
    assert not np.allclose(distances(plain, rows), distances(twice, rows), rtol=1e-2, atol=1e-2)


def test_in_a_discriminant_weights_count_within_a_label_of_a_corpus() -> None:
    """Each corpus and label counts the same, however large its weights are."""
    rows = sample()
    sizes = 7.0 ** (rows.labels + rows.corpora)
    found = fitted(replace(rows, weights=sizes))
    assert np.allclose(distances(found, rows), distances(fitted(rows), rows))


def clouds(truth: np.ndarray) -> np.ndarray:
    draw = np.random.default_rng(3)
    return (draw.standard_normal((1, len(truth), 4)) + 2 * np.eye(4)[truth]).astype(np.float32)


def test_in_a_linear_fit_a_weight_of_two_is_the_recording_twice() -> None:
    """At the same regularisation for each recording: weights count relative to their mean."""
    truth = np.arange(60) % 4
    embeddings = clouds(truth)
    double = np.arange(60) % 5 < 2
    index = np.concatenate([np.arange(60), np.flatnonzero(double)])
    weaker = replace(LINEAR, regularisation=LINEAR.regularisation * len(index) / 60)
    weighted = fit_linear(embeddings, truth, weaker, weights=1.0 + double)
    twice = fit_linear(embeddings[:, index], truth[index], LINEAR)
    rows = embeddings[0]
    assert np.allclose(weighted.logits(rows), twice.logits(rows), atol=2e-2)
    plain = fit_linear(embeddings, truth, LINEAR)
    assert not np.allclose(plain.logits(rows), twice.logits(rows), atol=0.1)


@pytest.mark.parametrize("size", [1.0, 250.0])
def test_in_a_linear_fit_equal_weights_change_nothing(size: float) -> None:
    truth = np.arange(60) % 4
    embeddings, weights = clouds(truth), np.full(60, size)
    groups = [f"speaker {row // 10}" for row in range(60)]
    for fit in (
        lambda weights: fit_linear(embeddings, truth, LINEAR, weights=weights).logits(
            embeddings[0]
        ),
        lambda weights: held_out_logits(embeddings, truth, groups, LINEAR, weights),
    ):
        assert np.array_equal(fit(weights), fit(None))


class Logits(nn.Module):
    """A network that returns the features' values as logits."""

    def forward_trainable(self, features: Features) -> torch.Tensor:
        return features.values


def loss(logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> float:
    frames = torch.ones(len(logits), dtype=torch.int64)
    batch = Batch(Features(logits, frames), targets, torch.ones(targets.shape, dtype=torch.bool))
    network: Network = Logits()  # type: ignore[assignment]
    return float(loss_of(network, batch, smoothing, None, mixed=False)[0]) * len(logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_in_a_loss_a_weight_of_two_is_the_recording_twice(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 3), torch.eye(3)[[0, 1, 2, 1, 0]]
    weights = torch.tensor([2.0, 1.0, 1.0, 2.0, 1.0])
    index = [0, 1, 2, 3, 4, 0, 3]
    weighted = loss(logits, targets * weights[:, None], smoothing)
    assert weighted == pytest.approx(loss(logits[index], targets[index], smoothing), rel=1e-5)
    assert weighted != pytest.approx(loss(logits, targets, smoothing), rel=1e-2)


class View:
    def piece(self, number: int) -> torch.Tensor:
        return torch.full((1, 2), float(number))


def task(weights: np.ndarray | None) -> Task:
    recipe = replace(RECIPES["vgg"], views=1)
    targets, train_side = np.arange(12) % 3, np.arange(2, 12)
    possible = np.ones((12, 3), np.bool_)
    source: Any = None
    views: dict[int, Any] = {0: View()}
    rest = (train_side, np.arange(2), 0, torch.device("cpu"))
    return Task(recipe, source, targets, possible, ("a", "b", "c"), *rest, weights, views)


def sums(one: Task) -> dict[int, float]:
    """The sum of each recording's targets in an epoch."""
    return {
        int(values.flatten()[0]): float(targets.sum())
        for batch in batches(one, 1)
        for values, targets in zip(batch.features.values, batch.targets, strict=True)
    }


def test_weights_of_a_training_side_are_1_on_average() -> None:
    """Those of other sides do not count: the learning rate would depend on them."""
    weights = np.arange(12.0) * 100 + 1
    found = sums(task(weights))
    assert found.keys() == set(range(2, 12))
    assert np.mean(list(found.values())) == pytest.approx(1)
    assert found[11] / found[2] == pytest.approx(1101 / 201, rel=1e-5)
    assert set(sums(task(None)).values()) == set(sums(task(np.ones(12))).values()) == {1.0}


def test_class_weights_balance_the_sums_of_weights() -> None:
    one = task(np.where(np.arange(12) % 3 == 0, 4.0, 1.0))
    found = _class_weights(one).numpy()
    own = one.targets[one.train]
    totals = np.bincount(own, one.training_weights())
    assert np.allclose(totals * found, len(own) / 3)
    assert found.argmin() == 0


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["fast", "whisper-frozen", "gap-cnn"])
def test_weights_of_a_manifest_change_every_fit(
    recipe: str, tree: Path, tmp_path: Path, inits: dict[str, str], finished: Callable[[str], Path]
) -> None:
    paths = sorted(tree.rglob("*.wav"))
    names = {"01": "neutral", "03": "happy", "05": "angry"}
    rows = [
        {
            "file": str(path.relative_to(tree)),
            "label": names[path.stem.split("-")[2]],
            "speaker": path.stem[-2:],
            "weight": number % 7 + 1,
        }
        for number, path in enumerate(paths)
    ]
    init = str(finished("student") / "checkpoint.safetensors") if recipe == "fast" else None
    found = []
    for name in ("weighted", "plain"):
        lines = rows if name == "weighted" else [each | {"weight": ""} for each in rows]
        config = training(tree, tmp_path / name, recipe, init=init or inits.get(recipe))
        path = write_csv(tree / f"{recipe}.csv", lines)
        train(replace(config, data=(f"manifest:{path}",)))
        path.unlink()
        found.append((tmp_path / name / "predictions.parquet").read_bytes())
    assert found[0] != found[1]

"""Linear discriminant analysis with offsets: what it recovers, and what it cannot be misled by."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Runner
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from batch_ser.results.groups import Sums
from models import load_checkpoint
from models.checkpoint import read_info
from models.offset_head import Offset
from train.fitting.discriminant import (
    ORDINARY,
    Discriminant,
    LDASettings,
    Sample,
    additive,
    fit_discriminant,
)
from train.fitting.lda import fit_sample
from train.fitting.left_out import PARTS, parts_left_out

LABELS = ("neutral", "happy", "sad", "angry")
EVEN = np.full(len(LABELS), 1 / len(LABELS))
WIDTH = 12  # of the statistics
EMBEDDED = 8
EACH = 40  # recordings of a label in a corpus
SPEAKERS = 4  # of a corpus
PURE = LDASettings(shrinkage=0.0, disagreement=0.0)  # the covariance of noise alone
SEEDS = st.integers(0, 1000)


class World:
    """Means of labels, offsets of corpora that are larger, and noise of one covariance."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.means = self.draw.normal(0, 3.0, (len(LABELS), WIDTH))
        self.offsets = self.draw.normal(0, 10.0, (9, WIDTH))
        self.noise = self.draw.normal(0, 0.5, (WIDTH, WIDTH)) + np.eye(WIDTH)

    def corpus(self, number: int, labels: tuple[int, ...] = (0, 1, 2, 3)) -> Sample:
        """Recordings of one corpus; those of ORDINARY are spoken like label 0."""
        every = np.repeat(labels, EACH)
        means = self.means[np.where(every == ORDINARY, 0, every)]
        noise = self.draw.standard_normal((len(every), WIDTH)) @ self.noise.T
        count = np.arange(len(every))
        return Sample(
            (means + self.offsets[number] + noise).astype(np.float32),
            every,
            np.full(len(every), number),
            number * SPEAKERS + count % SPEAKERS,
            number * 1000 + count,
            np.full(len(every), 3.0),
            np.ones(len(every)),
        )


def joined(*samples: Sample) -> Sample:
    names = [each.name for each in fields(Sample)]
    return Sample(*(np.concatenate([getattr(each, name) for each in samples]) for name in names))


def fit(sample: Sample, lda: LDASettings | None = None) -> Discriminant:
    return fit_discriminant(sample, len(LABELS), EMBEDDED, 0, lda or LDASettings())


def recall(fitted: Discriminant, sample: Sample, offset: np.ndarray) -> float:
    """The share of recordings (of labels that are equally frequent) that are recognised."""
    apart = fitted.embed(sample.statistics)[:, None] - offset - fitted.means
    return float((np.square(apart).sum(2).argmin(1) == sample.labels).mean())


def offset_of(fitted: Discriminant, sample: Sample) -> np.ndarray:
    """That of a corpus whose labels are equally frequent, without their names."""
    return fitted.embed(sample.statistics).mean(0) - fitted.means.mean(0)


@settings(max_examples=20)
@given(SEEDS)
def test_labels_of_a_corpus_left_out_are_recovered_with_its_offset(seed: int) -> None:
    world = World(seed)
    fitted = fit(joined(*(world.corpus(number) for number in range(3))))
    unseen = world.corpus(3)
    found = recall(fitted, unseen, offset_of(fitted, unseen))
    assert found > 0.8  # by chance: 0.25
    assert found >= recall(fitted, unseen, fitted.usual)
    assert fitted.known.all()


def test_an_offset_of_its_own_is_worth_much() -> None:
    """Over ten corpora left out, against the offset of the others."""
    gains = []
    for seed in range(10):
        world = World(seed)
        fitted = fit(joined(*(world.corpus(number) for number in range(3))))
        unseen = world.corpus(3)
        own = recall(fitted, unseen, offset_of(fitted, unseen))
        gains.append(own - recall(fitted, unseen, fitted.usual))
    assert np.mean(gains) > 0.1


@settings(max_examples=20)
@given(SEEDS)
def test_the_noise_has_about_unit_variance_in_every_number(seed: int) -> None:
    world = World(seed)
    sample = joined(*(world.corpus(number) for number in range(3)))
    for lda in (PURE, LDASettings()):
        fitted = fit(sample, lda)
        every = (sample.statistics - fitted.shift) @ fitted.projection.T
        assert every.shape == (len(sample), EMBEDDED)
        within = []
        for corpus in range(3):
            for label in range(len(LABELS)):
                own = every[(sample.corpora == corpus) & (sample.labels == label)]
                within.append(np.cov(own.T))
        covariance = np.mean(within, axis=0)
        assert np.diag(covariance).max() < (1.1 if lda is PURE else 2.5)
        if lda is PURE:  # and no two of them vary together
            assert np.allclose(covariance, np.eye(EMBEDDED), atol=0.1)


@settings(max_examples=20)
@given(SEEDS)
def test_what_only_one_corpus_has_does_not_shift_the_other_labels(seed: int) -> None:
    """Sums of means and offsets are found, though corpora lack labels."""
    draw = np.random.default_rng(seed)
    means, offsets = draw.normal(0, 3, (4, 5)), draw.normal(0, 9, (3, 5))
    means -= means.mean(0)
    cells = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0), (2, 1), (2, 3)]
    corpora, labels = np.array(cells * 3).T
    x = means[labels] + offsets[corpora]
    found, found_offsets = additive(x, labels, corpora, np.ones(len(x)), 5)
    assert np.allclose(found[:4], means, atol=1e-5)
    assert np.allclose(found_offsets, offsets, atol=1e-5)
    assert not found[4].any()  # a label without recordings


@settings(max_examples=20)
@given(SEEDS)
def test_a_corpus_that_lacks_labels_teaches_nothing_about_them(seed: int) -> None:
    """Wherever its recordings lie, the others' labels stay as far apart, and are recognised."""
    world = World(seed)
    complete = [world.corpus(number) for number in range(2)]
    lacking = world.corpus(2, (0, 1))
    shifted = replace(lacking, statistics=lacking.statistics + 50)
    first, second = (fit(joined(*complete, each)) for each in (lacking, shifted))
    unseen = world.corpus(3)
    answers = [
        np.square(
            each.embed(unseen.statistics)[:, None] - offset_of(each, unseen) - each.means
        ).sum(2)
        for each in (first, second)
    ]
    assert np.allclose(*answers, rtol=1e-2, atol=1e-2)
    assert recall(second, unseen, offset_of(second, unseen)) > 0.8
    no_angry = fit(joined(*(world.corpus(number, (0, 1, 2)) for number in range(3))))
    assert no_angry.known.tolist() == [True, True, True, False]
    assert not no_angry.means[3].any()


@settings(max_examples=20)
@given(SEEDS)
def test_ordinary_speech_sets_the_usual_offset(seed: int) -> None:
    world = World(seed)
    labelled = [world.corpus(number) for number in range(3)]
    ordinary = world.corpus(4, (ORDINARY,)), world.corpus(5, (ORDINARY,) * 3)
    with_it, without = fit(joined(*labelled, *ordinary)), fit(joined(*labelled))
    assert np.allclose(without.usual, without.of_training)
    where = [with_it.embed(each.statistics).mean(0) for each in ordinary]  # each counts the same
    assert np.allclose(with_it.usual, np.mean(where, axis=0) - with_it.means[0], atol=1e-3)
    assert not np.allclose(with_it.usual, with_it.of_training, atol=0.1)
    unknown = fit_discriminant(
        joined(*labelled, *ordinary), len(LABELS), EMBEDDED, None, LDASettings()
    )
    assert np.allclose(unknown.usual, unknown.of_training)  # nothing is neutral


def test_parts_are_corpora_and_of_a_single_one_speakers() -> None:
    world = World(0)
    several = joined(*(world.corpus(number) for number in range(3)), world.corpus(4, (ORDINARY,)))
    parts = parts_left_out(several, LABELS, EMBEDDED, LDASettings())
    assert [set(part.sample.corpora) for part in parts] == [{0}, {1}, {2}]
    single = world.corpus(0)
    parts = parts_left_out(single, LABELS, EMBEDDED, LDASettings())
    speakers = [set(part.sample.speakers) for part in parts]
    assert len(parts) == PARTS
    assert set().union(*speakers) == set(single.speakers)
    assert sum(map(len, speakers)) == SPEAKERS  # none is in two parts
    unknown = replace(single, speakers=np.full(len(single), -1))
    parts = parts_left_out(unknown, LABELS, EMBEDDED, LDASettings())
    recordings = np.concatenate([part.sample.recordings for part in parts])
    assert sorted(recordings) == sorted(single.recordings)


def test_spreads_come_from_corpora_left_out_and_of_a_single_one_from_the_recipe() -> None:
    world = World(1)
    lda = LDASettings(conditions=7.0)
    several = fit_sample(joined(*(world.corpus(each) for each in range(3))), LABELS, EMBEDDED, lda)
    single = fit_sample(world.corpus(0), LABELS, EMBEDDED, lda)
    assert float(single.head.conditions) == 7.0
    assert float(several.head.conditions) > 7.0  # offsets of this world are large
    for found in (several, single):
        assert 0 < found.temperature < 10
        assert float(found.head.mixture) == lda.mixture


def test_ordinary_speech_far_from_a_single_corpus_widens_the_spread_of_offsets() -> None:
    """Else recordings like those of the training would keep the offset of ordinary speech."""
    world = World(1)
    lda = LDASettings(conditions=0.5)
    single, talks = world.corpus(0), world.corpus(4, (ORDINARY,))
    found = fit_sample(joined(single, talks), LABELS, EMBEDDED, lda)
    distance = np.square(found.fitted.of_training - found.fitted.usual).mean()
    assert distance > 0.5
    assert float(found.head.conditions) == pytest.approx(distance)
    unseen = found.fitted.embed(world.corpus(0).statistics)
    sums = Sums(unseen.sum(0), len(unseen), len(unseen))
    offset = found.head.estimate("archive", found.head.usual_offset(), sums, EVEN)
    left = np.linalg.norm(offset.values - found.fitted.of_training)
    assert left < 0.3 * np.linalg.norm(found.fitted.usual - found.fitted.of_training)
    near = fit_sample(single, LABELS, EMBEDDED, lda)
    assert float(near.head.conditions) == lda.conditions


def test_what_cannot_be_calibrated_is_refused() -> None:
    one = World(2).corpus(0, (1,))
    with pytest.raises(UsageError, match="no speakers or corpora that could be left out"):
        fit_sample(one, LABELS, EMBEDDED, LDASettings())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shrinkage": 1.5}, "lda.shrinkage=1.5: expected a share from 0 to 1"),
        ({"shrinkage": -0.1}, "lda.shrinkage=-0.1: expected a share from 0 to 1"),
        ({"shrinkage": float("nan")}, "lda.shrinkage=nan: expected a share"),
        ({"disagreement": -1.0}, "lda.disagreement=-1.0: expected 0 or more"),
        ({"disagreement": float("inf")}, "lda.disagreement=inf: expected 0 or more"),
        ({"mixture": -2.0}, "lda.mixture=-2.0: expected 0 or more"),
        ({"conditions": float("nan")}, "lda.conditions=nan: expected 0 or more"),
        ({"speakers": -1.0}, "lda.speakers=-1.0: expected 0 or more"),
        ({"mixture": -0.5}, "lda.mixture=-0.5: expected 0 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LDASettings(**fields)


def test_a_wrong_setting_on_the_command_line_ends_it(
    batch_ser: Runner, tree: Path, encoder: Path
) -> None:
    done = batch_ser(
        "train",
        "--data",
        f"ravdess:{tree}",
        "--recipe",
        "accurate",
        "--init",
        encoder,
        "--set",
        "lda.shrinkage=2",
        "--out",
        "run",
    )
    assert done.returncode == 2
    assert "lda.shrinkage=2: expected a share from 0 to 1" in done.stderr


@pytest.mark.slow
def test_trained_loaded_and_scored(finished: Callable[[str], Path], speech: Samples) -> None:
    path = finished("accurate") / "checkpoint.safetensors"
    checkpoint = load_checkpoint(path)
    assert checkpoint.has_offset
    head, labels = checkpoint.head, checkpoint.info.labels
    assert read_info(path).recipe["fit"] == "lda"
    assert np.isfinite(head.means.numpy()).all()
    assert head.means.abs().sum(1).min() > 0  # every label was in the training
    segments = [speech[start : start + 24_000] for start in range(24_000, 240_000, 24_000)]
    usual = checkpoint.score_all(segments)
    assert usual.shape == (len(segments), len(labels))
    assert np.allclose(usual.sum(1), 1, atol=1e-5)
    scores, embeddings = checkpoint.score_all(segments), checkpoint.embed_all(segments)
    assert np.array_equal(scores, usual)
    assert embeddings.shape == (len(segments), checkpoint.embedding_width)
    towards = Offset(
        head.usual_offset().values + head.means.double().numpy()[0], head.usual_offset().covariance
    )
    moved = checkpoint.score_all(segments, towards)
    assert np.allclose(moved.sum(1), 1, atol=1e-5)
    assert (moved[:, 0] < usual[:, 0]).all()  # what looked like the first label is the archive's

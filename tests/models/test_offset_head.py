"""Scores given an offset: how it is estimated, and how it changes probabilities."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LABELS
from hypothesis import given
from hypothesis import strategies as st
from networks import small_checkpoint

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from batch_ser.results.groups import Sums
from models import load_checkpoint
from models.expectation import parse_expectation
from models.offset_head import Offset, OffsetHead, posterior

SEEDS = st.integers(0, 1000)
EVEN = np.full(4, 0.25)


def random_head(seed: int, conditions: float = 4.0, mixture: float = 1e9) -> OffsetHead:
    """Means of four labels, three numbers apart."""
    head = OffsetHead(4, 16)
    draw = np.random.default_rng(seed)
    means = draw.standard_normal((4, 3)) * 2
    head.means.copy_(torch.from_numpy(means - means.mean(0)))
    head.usual.copy_(torch.from_numpy(draw.standard_normal(3)))
    for name, value in {"conditions": conditions, "speakers": 0.0, "mixture": mixture}.items():
        getattr(head, name).fill_(value)
    head.short_s.fill_(0.0)
    return head


def archive_of(head: OffsetHead, segments: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n,) and embeddings (n, 16) of an archive, whose offset is far from the usual one."""
    draw = np.random.default_rng(seed)
    labels = np.arange(segments) % 4
    embeddings = draw.standard_normal((segments, 16))
    embeddings[:, :3] += head.means.double().numpy()[labels] + 3
    return labels, embeddings


def estimated(head: OffsetHead, embeddings: np.ndarray, shares: np.ndarray = EVEN) -> Offset:
    sums = Sums(embeddings.sum(0), len(embeddings), len(embeddings))
    return head.estimate("archive", head.usual_offset(), sums, shares)


@given(SEEDS)
def test_more_segments_estimate_the_offset_with_less_uncertainty(seed: int) -> None:
    head = random_head(seed)
    distance, uncertain = [], []
    for segments in (4, 64, 4096):
        offset = estimated(head, archive_of(head, segments, seed)[1])
        distance.append(np.linalg.norm(offset.values - 3))
        uncertain.append(np.trace(offset.covariance))
        assert offset.segments == segments
    assert distance[2] < 0.15
    assert uncertain[0] > uncertain[1] > uncertain[2] > 0
    assert np.linalg.norm(head.usual_offset().values - 3) > distance[2]


@given(SEEDS)
def test_without_evidence_the_offset_stays_the_usual_one(seed: int) -> None:
    """Where archives hardly differ, or the mixture is unknown."""
    head = random_head(seed, conditions=1e-9)
    offset = estimated(head, archive_of(head, 400, seed)[1])
    assert np.abs(offset.values - head.usual_offset().values).max() < 1e-4
    unknown, known = random_head(seed, mixture=0.0), random_head(seed)
    moved = [
        np.linalg.norm(estimated(each, archive_of(each, 400, seed)[1]).values - each.usual.numpy())
        for each in (unknown, known)
    ]
    assert moved[0] < moved[1]


@given(SEEDS)
def test_an_archive_that_is_shifted_scores_the_same(seed: int) -> None:
    """A line or a room that shifts all segments equally changes no score, given its offset."""
    head = random_head(seed, conditions=1e6)
    _, embeddings = archive_of(head, 400, seed)
    shifted = embeddings + 2.5
    durations_s = np.full(400, 2.0)
    one, other = (
        posterior(head.log_likelihoods(each, durations_s, estimated(head, each)), EVEN, 1.0)
        for each in (embeddings, shifted)
    )
    assert np.abs(one - other).max() < 1e-3


@given(SEEDS)
def test_uncertain_offsets_and_short_segments_are_scored_with_less_confidence(seed: int) -> None:
    head = random_head(seed)
    head.short_s.fill_(0.5)
    labels, embeddings = archive_of(head, 200, seed)
    found = estimated(head, embeddings)
    uncertain = Offset(found.values, found.covariance + 3 * np.eye(3))

    def confidence(offset: Offset, duration_s: float) -> float:
        scores = head.log_likelihoods(embeddings, np.full(200, duration_s), offset)
        return float(posterior(scores, EVEN, 1.0).max(1).mean())

    assert confidence(found, 4.0) > confidence(uncertain, 4.0)
    assert confidence(found, 4.0) > confidence(found, 0.5)
    scores = head.log_likelihoods(embeddings, np.full(200, 4.0), found)
    assert (scores.argmax(1) == labels).mean() > 0.5  # by chance 0.25


@given(SEEDS, st.floats(0.1, 10))
def test_probabilities_are_posteriors_under_the_prior(seed: int, temperature: float) -> None:
    scores = np.random.default_rng(seed).standard_normal((20, 4)) * 30
    found = posterior(scores, np.array([0.7, 0.2, 0.1, 0.0]), temperature)
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    assert (found[:, 3] == 0).all()
    even = posterior(np.zeros((1, 4)), np.array([0.7, 0.1, 0.1, 0.1]), temperature)
    assert np.allclose(even, [0.7, 0.1, 0.1, 0.1])


@given(SEEDS)
def test_a_speaker_s_offset_is_relative_to_the_archive_s(seed: int) -> None:
    """With speakers who do not differ, each one's offset is the archive's."""
    head = random_head(seed)
    archive = estimated(head, archive_of(head, 400, seed)[1])
    sums = Sums(archive_of(head, 40, seed + 1)[1].sum(0) + 40.0, 40, 10)
    same = head.estimate("speaker", Offset(archive.values, np.zeros((3, 3))), sums, EVEN)
    assert np.abs(same.values - archive.values).max() < 1e-9
    head.speakers.fill_(1.0)
    own = head.estimate("speaker", archive, sums, EVEN)
    assert np.linalg.norm(own.values - 4) < np.linalg.norm(archive.values - 4)


def test_an_offset_is_read_from_json_and_a_damaged_one_is_refused() -> None:
    head = random_head(3)
    offset = estimated(head, archive_of(head, 40, 3)[1])
    record = json.loads(json.dumps(offset.as_record()))
    again = Offset.from_record(record, 3)
    assert np.array_equal(again.values, offset.values)
    assert np.array_equal(again.covariance, offset.covariance)
    damaged = "damaged, expected numbers as values, covariance and segments"
    no_covariance = "not symmetric and positive semi-definite"
    for name, value, message in (
        ("values", [1.0, float("inf"), 0.0], "not finite"),
        ("values", [1.0, "much", 0.0], damaged),
        ("covariance", [[1.0]], "an offset of 3 numbers with a covariance of 1, expected 3 with 9"),
        ("covariance", [[1, 0, 0], [0.5, 1, 0], [0, 0, 1]], no_covariance),
        ("covariance", [[1, 0, 0], [0, -1, 0], [0, 0, 1]], no_covariance),
        ("segments", "many", damaged),
        ("segments", float("inf"), damaged),
    ):
        with pytest.raises(UsageError, match=message):
            Offset.from_record(record | {name: value}, 3)
    with pytest.raises(UsageError, match=damaged):
        Offset.from_record({}, 3)


EXPECTED_LABELS = ("neutral", "happy", "sad", "angry")


@pytest.mark.parametrize(
    ("text", "offset", "prior"),
    [
        ("natural", [0.4, 0.2, 0.2, 0.2], [0.4, 0.2, 0.2, 0.2]),
        (None, [0.4, 0.2, 0.2, 0.2], [0.4, 0.2, 0.2, 0.2]),
        ("balanced", [0.25] * 4, [0.25] * 4),
        ("angry=0.7", [0.1, 0.1, 0.1, 0.7], [0.1, 0.1, 0.1, 0.7]),
        ("angry=0.2, sad=0.3", [0.25, 0.25, 0.3, 0.2], [0.25, 0.25, 0.3, 0.2]),
        ("neutral=1", [1, 0, 0, 0], [1, 0, 0, 0]),
    ],
)
def test_expectations_are_parsed(text: str | None, offset: list[float], prior: list[float]) -> None:
    found = parse_expectation(text, EXPECTED_LABELS)
    assert np.allclose(found.offset, offset)
    assert np.allclose(found.prior, prior)


@given(st.permutations(["neutral", "sad", "angry"]), st.floats(0, 0.3))
def test_equal_expectations_have_one_text(order: list[str], share: float) -> None:
    """A job goes on whatever way its expectation is written, with the same shares."""
    shares = {"neutral": share, "sad": 0.25, "angry": 0.10}
    written = " , ".join(f"{label}={shares[label]:.20f} " for label in order)
    found = parse_expectation(written, EXPECTED_LABELS)
    again = parse_expectation(found.text, EXPECTED_LABELS)
    assert again.text == found.text
    assert np.array_equal(again.offset, found.offset)
    assert found.text.startswith("neutral=")
    assert found.text.endswith(",sad=0.25,angry=0.1")


def test_the_shares_of_a_checkpoint_count_before_the_natural_ones() -> None:
    found = parse_expectation(None, EXPECTED_LABELS, {"offset": 0.7, "prior": 0.4})
    assert (found.offset[0], found.prior[0]) == pytest.approx((0.7, 0.4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bored=0.5", "no label 'bored'"),
        ("angry=0.7,sad=0.4", "sum to 1.1, expected at most 1"),
        ("angry=-0.1", "expected a share from 0 to 1"),
        ("angry=much", "expected a share from 0 to 1"),
        ("angry=nan", "expected a share from 0 to 1"),
        ("angry=0.2,angry=0.2", "given twice"),
        ("neutral=0.1,happy=0.1,sad=0.1,angry=0.1", "expected 1"),
        ("usual", "expected natural, balanced or LABEL=SHARE"),
        ("", "expected natural, balanced or LABEL=SHARE"),
    ],
)
def test_expectations_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_expectation(text, EXPECTED_LABELS)


def test_without_a_neutral_label_the_default_is_balanced() -> None:
    assert parse_expectation(None, ("happy", "sad")).text == "balanced"
    with pytest.raises(UsageError, match="no label neutral"):
        parse_expectation("natural", ("happy", "sad"))


def test_a_checkpoint_scores_given_an_offset(tmp_path: Path, speech: Samples) -> None:
    path = small_checkpoint(tmp_path / "offset.safetensors", "whisper, offset", LABELS)
    checkpoint = load_checkpoint(path)
    samples = speech[16_000:48_000]
    usual = checkpoint.score(samples, 16_000)
    offset = checkpoint.head.usual_offset()
    assert np.allclose(checkpoint.score(samples, 16_000, offset, "natural"), usual)
    moved = Offset(offset.values + 2, offset.covariance)
    assert np.abs(checkpoint.score(samples, 16_000, moved) - usual).max() > 0.01
    angry = checkpoint.score(samples, 16_000, expect="angry=0.97")
    assert angry[LABELS.index("angry")] > usual[LABELS.index("angry")]
    assert np.allclose(checkpoint.score_all([samples])[0], usual, atol=1e-4)

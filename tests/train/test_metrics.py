"""Figures and how sure one can be of them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train import metrics
from train.data.utterances import Utterance
from train.evaluation.measurements import measure
from train.evaluation.predictions import Predictions

LABELS = ("neutral", "happy", "sad")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_uar_is_the_mean_recall_of_the_labels_that_occur(pairs: list[tuple[str, str]]) -> None:
    truth, predicted = zip(*pairs, strict=True)
    recalls = [
        np.mean([p == label for t, p in pairs if t == label]) for label in sorted(set(truth))
    ]
    found = metrics.scores(truth, predicted)
    assert found["UAR"] == pytest.approx(np.mean(recalls))
    assert found["WA"] == pytest.approx(np.mean([t == p for t, p in pairs]))


def drawn(speakers: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, probabilities that find them two times in three, and who speaks."""
    rng = np.random.default_rng(seed)
    truth = np.tile(np.arange(3), speakers * each)
    logits = rng.standard_normal((len(truth), 3)) + 1.2 * np.eye(3)[truth]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return truth, p, [f"s{row // (3 * each)}" for row in range(len(truth))]


@given(st.integers(0, 100), st.integers(2, 9), st.integers(1, 4))
def test_headline_figures_agree_with_the_others(seed: int, speakers: int, each: int) -> None:
    truth, p, units = drawn(speakers, each, seed)
    found = metrics.headline(truth, p, units)
    names = [LABELS[i] for i in truth]
    scores = metrics.scores(names, [LABELS[i] for i in p.argmax(1)])
    for name, other in (("uar", "UAR"), ("accuracy", "WA"), ("macro_f1", "macro F1")):
        assert found[name]["value"] == pytest.approx(scores[other])
    assert found == metrics.headline(truth, p, units)


def test_intervals_hold_their_figure_and_shrink_with_more_speakers() -> None:
    widths = []
    for speakers in (5, 20, 80):
        found = metrics.headline(*drawn(speakers, 5))
        for name in ("uar", "accuracy", "macro_f1"):
            assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
        widths.append(found["uar"]["high"] - found["uar"]["low"])
    assert widths[0] > 1.4 * widths[1] > 1.4 * 1.4 * widths[2] > 0


def test_speakers_are_drawn_whole() -> None:
    """Speakers that are wholly right or wholly wrong say less than as many recordings."""
    truth = np.tile(np.arange(3), 40)
    p = np.eye(3)[truth].astype(float)
    p[60:] = np.roll(p[60:], 1, axis=1)  # half of them wrong
    by_four = metrics.headline(truth, p, [str(row // 30) for row in range(120)])["uar"]
    alone = metrics.headline(truth, p, [str(row) for row in range(120)])["uar"]
    assert by_four["value"] == alone["value"] == pytest.approx(0.5)
    assert by_four["high"] - by_four["low"] > 3 * (alone["high"] - alone["low"])
    assert metrics.headline(truth, p, ["one"] * 120)["uar"] == pytest.approx(
        {"value": 0.5, "low": None, "high": None}
    )


def test_calibration_error_of_the_honest_and_of_the_boastful() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.34, 1, 20_000)
    right = rng.random(20_000) < confidence

    def error(sure: np.ndarray) -> float:
        return float(metrics.calibration_error(metrics.calibration_bins(sure, right)))

    assert error(confidence) < 0.02
    assert error(np.ones(20_000)) == pytest.approx(1 - right.mean())


def test_held_out_recordings_are_judged_among_every_label() -> None:
    """A speaker who is never sad is no easier for it; a foreign corpus without sad is."""
    said = [
        Utterance(Path(f"{n}.wav"), label, "s", "", "en")
        for n, label in enumerate(("neutral", "happy", "bored"))
    ]
    p = np.array([[0.3, 0.1, 0.6], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2]], np.float32)
    found = Predictions(tuple(said), LABELS, p, ("",) * 3)
    assert found.known().predicted() == ["sad", "happy"]
    assert found.shared().predicted() == ["neutral", "happy"]
    assert np.allclose(found.shared().probabilities, [[0.75, 0.25], [2 / 9, 7 / 9]])
    every, shared = (measure(found, judged) for judged in (found.known(), found.shared()))
    assert every["headline"]["uar"]["value"] == 0.5
    assert shared["headline"]["uar"]["value"] == 1.0
    assert every["left_out"]["recordings"] == shared["left_out"]["recordings"] == 1

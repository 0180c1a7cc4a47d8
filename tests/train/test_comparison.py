"""Two checkpoints on the same recordings: difference, interval, verdict, and what would tell."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score

from models.checkpoint import read_info
from train.data.utterances import Utterance
from train.evaluation.comparison import BETTER, CANNOT_BE_TOLD, WORSE, Comparison, compare
from train.evaluation.predictions import Predictions
from train.run import TrainConfig, train

LABELS = ("neutral", "happy", "sad")
SEEDS = st.integers(0, 1000)


def pair(
    speakers: int, each: int, gains: tuple[float, float], seed: int = 0, spread: float = 0.4
) -> tuple[Predictions, Predictions]:
    """Predictions of two checkpoints, by how well each finds the label, which speakers change."""
    draw = np.random.default_rng(seed)
    numbers = np.tile(np.arange(3), speakers * each)
    who = np.repeat(np.arange(speakers), 3 * each)
    found = []
    common = draw.standard_normal((len(numbers), 3))
    for gain in gains:
        own = gain + spread * draw.standard_normal(speakers)
        logits = common + draw.standard_normal(common.shape)
        logits += own[who, None] * np.eye(3)[numbers]
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        utterances = tuple(
            Utterance(Path(f"{row}.wav"), LABELS[number], f"s{speaker}", "", "", corpus="calls")
            for row, (number, speaker) in enumerate(zip(numbers, who, strict=True))
        )
        found.append(Predictions(utterances, LABELS, p.astype(np.float32), ("",) * len(utterances)))
    return found[0], found[1]


def uar(predictions: Predictions) -> float:
    return float(recall_score(predictions.truth, predictions.predicted(), average="macro"))


def test_the_same_predictions_cannot_be_told_apart() -> None:
    one, _ = pair(6, 5, (1.0, 1.0))
    found = compare(one, one)
    assert (found.difference, found.interval, found.verdict) == (0.0, (0.0, 0.0), CANNOT_BE_TOLD)
    assert found.is_negligible
    assert found.needed is None


@pytest.mark.parametrize(("gains", "verdict"), [((3.0, 0.5), BETTER), ((0.5, 3.0), WORSE)])
def test_a_clear_difference_has_a_verdict(gains: tuple[float, float], verdict: str) -> None:
    new, old = pair(8, 8, gains)
    found = compare(new, old)
    assert found.verdict == verdict
    assert found.new_uar == pytest.approx(uar(new))
    assert found.old_uar == pytest.approx(uar(old))
    assert found.interval is not None
    low, high = found.interval
    assert low < found.difference < high
    assert found.needed is None


@settings(max_examples=30)
@given(SEEDS, st.integers(1, 6), st.integers(1, 4), st.floats(0, 3), st.floats(0, 3))
def test_turned_around_it_is_the_same_with_another_sign(
    seed: int, speakers: int, each: int, new_gain: float, old_gain: float
) -> None:
    new, old = pair(speakers, each, (new_gain, old_gain), seed)
    one, other = compare(new, old), compare(old, new)
    assert one.difference == -other.difference
    assert one.error == other.error
    assert one.needed == other.needed
    turned = {BETTER: WORSE, WORSE: BETTER, CANNOT_BE_TOLD: CANNOT_BE_TOLD}
    assert one.verdict == turned[other.verdict]
    if one.interval and other.interval:
        assert one.interval == tuple(-end for end in reversed(other.interval))


@pytest.mark.parametrize("speakers", [2, 4, 10])
def test_equally_good_ones_seldom_have_a_verdict(speakers: int) -> None:
    """Percentiles of the bootstrap gave one to 47, 17 and 10 in 100."""
    verdicts = [
        compare(*pair(speakers, 6, (1.0, 1.0), seed, spread=0.8)).verdict for seed in range(100)
    ]
    assert sum(each != CANNOT_BE_TOLD for each in verdicts) <= 10


def test_speakers_are_drawn_whole_and_where_unknown_the_files() -> None:
    new, old = pair(4, 6, (2.0, 1.0))
    assert (compare(new, old).unit, compare(new, old).units) == ("speaker", 4)

    def changed(one: Predictions, **changes: Callable[[Utterance], object]) -> Predictions:
        utterances = [
            replace(each, **{name: of(each) for name, of in changes.items()})
            for each in one.utterances
        ]
        return replace(one, utterances=tuple(utterances))

    unknown = [changed(one, speaker=lambda _: "") for one in (new, old)]
    assert (compare(*unknown).unit, compare(*unknown).units) == ("recording", 72)
    calls = [  # segments of a call for each speaker
        changed(
            one,
            path=lambda each: Path(f"{each.speaker}.wav"),
            speaker=lambda _: "",
            start_s=lambda each: float(each.path.stem),
        )
        for one in (new, old)
    ]
    assert (compare(*calls).unit, compare(*calls).units) == ("recording", 4)
    assert compare(*calls).error == compare(new, old).error
    alone = compare(*pair(1, 6, (2.0, 1.0)))
    assert (alone.interval, alone.verdict, alone.needed) == (None, CANNOT_BE_TOLD, None)


def test_labels_that_only_one_has_are_judged_for_neither() -> None:
    """A recording of such a label is left out, and no other is taken for it."""
    new, old = pair(6, 5, (2.0, 1.0))
    fewer = replace(old, labels=("neutral", "happy", "angry"))
    found = compare(new, fewer)
    assert found.labels == ("neutral", "happy")
    assert found.recordings == sum(label != "sad" for label in new.truth)
    rows = [row for row, label in enumerate(new.truth) if label != "sad"]
    for each, value in ((new, found.new_uar), (old, found.old_uar)):
        best = each.probabilities[rows, :2].argmax(1)
        truth = [LABELS.index(each.truth[row]) for row in rows]
        assert value == pytest.approx(recall_score(truth, best, average="macro"))


def measured(recordings: int, units: int, difference: float, error: float) -> Comparison:
    return Comparison(LABELS, recordings, "speaker", units, 0.5 + difference, 0.5, error)


def test_so_many_labels_would_tell() -> None:
    """As many again of each speaker: the interval of so many speakers just ends at 0."""
    found = measured(200, 20, 0.03, 0.03)
    assert found.verdict == CANNOT_BE_TOLD
    assert found.needed is not None
    labels, units = found.needed
    assert labels / units == pytest.approx(200 / 20, rel=0.1)
    assert str(labels).rstrip("0") in map(str, range(100))  # two digits
    times = units / 20
    enough = measured(labels, units, 0.03, 0.03 / times**0.5)
    assert enough.verdict == BETTER
    fewer = measured(0, round(0.9 * units), 0.03, 0.03 / (0.9 * times) ** 0.5)
    assert fewer.verdict == CANNOT_BE_TOLD
    smaller = measured(200, 20, 0.015, 0.03)
    assert smaller.needed is not None
    assert smaller.needed[0] > 3.5 * labels
    assert measured(200, 20, 0.0005, 0.03).needed is None


def test_of_two_speakers_it_is_the_speakers_that_are_few() -> None:
    """With a third one the interval is a third as wide: not a thousand more are needed."""
    found = measured(100, 2, 0.05, 0.05)
    assert found.needed is not None
    assert 5 < found.needed[1] < 12


@settings(max_examples=50)
@given(st.integers(2, 50), st.floats(0.001, 0.3), st.floats(0.0001, 0.3))
def test_more_are_needed_wherever_it_cannot_be_told(
    units: int, difference: float, error: float
) -> None:
    found = measured(10 * units, units, difference, error)
    if found.verdict == CANNOT_BE_TOLD and not found.is_negligible:
        assert found.needed is not None
        assert found.needed[0] >= 10 * units
    else:
        assert found.needed is None


def shipped(
    tree: Path, out: Path, split: str = "random:60/20/20", labels: str | None = None
) -> TrainConfig:
    """A head on the encoder of the shipped `fast`."""
    return TrainConfig(
        data=(f"ravdess:{tree}",),
        recipe="fast",
        out=str(out),
        split=split,
        device="cpu",
        labels=labels,
    )


def comparison_of(out: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((out / "figures.json").read_text())["comparison"]
    return found


@pytest.mark.slow
def test_a_training_is_put_beside_the_checkpoint_that_it_started_from(
    tree: Path, tmp_path: Path
) -> None:
    """All folds together; in the files, the report and the card, which warn of its own corpora."""
    out = tmp_path / "run"
    config = shipped(tree, out, "speakers:4")
    text = train(config)
    line = next(each for each in text.splitlines() if each.startswith("beside "))
    assert line.startswith("beside fast on the same test sides, by archive: UAR ")
    assert line.split(": ")[2].split(";")[0] in (BETTER, WORSE, CANNOT_BE_TOLD)
    assert "fast was trained on recordings of RAVDESS, perhaps on these" in text
    found = comparison_of(out)
    assert found["recordings"] == 24  # each is on one test side
    assert (found["unit"], found["units"]) == ("speaker", 4)
    assert json.loads((out / "metrics.json").read_text())["comparison"] == found
    assert line in (out / "report.txt").read_text()
    assert line in (out / "checkpoint.md").read_text()
    info = read_info(out / "checkpoint.safetensors")
    assert "comparison" not in info.metrics
    adapted = json.loads((out / "metrics.json").read_text())["by_adaptation"]
    by_archive = adapted["--adapt archive --expect balanced"]["UAR"]
    assert found["new_uar"] == pytest.approx(by_archive)
    assert train(config) == text  # nothing is left to train


@pytest.mark.slow
def test_labels_that_the_checkpoint_does_not_have_are_named(tree: Path, tmp_path: Path) -> None:
    text = train(shipped(tree, tmp_path / "one", labels="neutral,happy,furious=angry"))
    assert "among neutral, happy: fast does not have furious, whose recordings are left" in text
    assert comparison_of(tmp_path / "one")["labels"] == ["neutral", "happy"]
    text = train(shipped(tree, tmp_path / "two", labels="plain=neutral,other=happy+angry"))
    assert (
        "beside fast on the same test sides: no comparison, since labels of both are none" in text
    )


@pytest.mark.slow
def test_weights_that_are_no_checkpoint_have_no_figures(
    finished: Callable[[str], Path],
) -> None:
    for recipe in ("accurate", "student", "gap-cnn"):  # of an encoder alone, or of none
        assert "comparison" not in json.loads((finished(recipe) / "figures.json").read_text())
    own = comparison_of(finished("fast"))  # from a path
    assert own["name"] == read_info(finished("student") / "checkpoint.safetensors").name

"""A training's held-out figures beside those of the checkpoint that it started from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batch_ser.errors import CheckpointError
from models.checkpoint import CheckpointInfo, read_info
from models.loading import load_checkpoint
from train.data import corpus_names, is_called
from train.evaluation.comparison import CANNOT_BE_TOLD, Comparison, compare
from train.evaluation.figures import BY_ARCHIVE, FoldPredictions, predict_fold
from train.evaluation.predictions import Predictions

MOST_LABELS = 100_000  # that are stated
SINGLE = "of a single {} there is no interval; a split with more test sides, as speakers:5, has one"


@dataclass(frozen=True)
class Beside:
    """A checkpoint beside which a training's figures are put."""

    name: str
    labels: tuple[str, ...]  # that it shares with the training
    lacking: tuple[str, ...]  # of the test recordings, that it does not have
    trained_on: tuple[str, ...]  # corpora of the test recordings
    by_archive: bool
    comparison: Comparison | None  # None: fewer than two labels are shared

    def lines(self) -> list[str]:
        """The comparison as text."""
        title = f"beside {self.name} on the same test sides"
        if self.comparison is None:
            shared = ", ".join(self.labels) or "none"
            return [f"{title}: no comparison, since labels of both are {shared}; expected two"]
        title += BY_ARCHIVE if self.by_archive else ""
        lines = [f"{title}: {_figures(self.name, self.comparison)}"]
        if self.lacking:
            lines.append(
                f"among {', '.join(self.labels)}: {self.name} does not have "
                f"{', '.join(self.lacking)}, whose recordings are left out of both"
            )
        if self.trained_on:
            lines.append(
                f"{self.name} was trained on recordings of {', '.join(self.trained_on)}, perhaps "
                "on these: the comparison favours it"
            )
        return lines

    def as_record(self) -> dict[str, Any]:
        """For `figures.json` and `metrics.json`."""
        record = asdict(self)
        figures = record.pop("comparison") or {}
        if self.comparison:
            further = ("difference", "interval", "verdict", "needed")
            figures |= {name: getattr(self.comparison, name) for name in further}
        return record | figures | {"text": self.lines()}


def put_beside(
    path: Path | None,
    found: Sequence[FoldPredictions],
    device: str,
    scored: Sequence[FoldPredictions] = (),
) -> Beside | None:
    """Score the test sides of all folds with a checkpoint; None where there is none at the path.

    `scored` are its scores of all folds, where they are known.

    It is scored like the training: each corpus of a test side is an archive, all labels of the
    checkpoint are expected to be equally frequent, and then those that are not shared are left out,
    as `evaluate --adapt corpus` does. With the shared labels alone expected, its UAR was no better
    (of `fast` on URDU 67.9 instead of 69.6 %).
    """
    info = _info(path)
    if path is None or info is None or not found:
        return None
    tested = tuple(each for one in found for each in one.plain.utterances)
    own = [label for label in info.labels if all(label in one.plain.labels for one in found)]
    carried = {each.label for each in tested}
    labels = tuple(label for label in own if label in carried)
    trained = [str(each["name"]) for each in info.corpora]
    names = [name for name in corpus_names(tested) if any(is_called(e, name) for e in trained)]
    comparison = None
    if len(labels) > 1:
        other = scored or _scored(path, found, device)
        comparison = compare(_pooled(found, labels), _pooled(other, labels))
    return Beside(
        name=info.name,
        labels=labels,
        lacking=tuple(sorted(carried.difference(labels))),
        trained_on=tuple(names),
        by_archive=all(one.by_archive is not None for one in found),
        comparison=comparison,
    )


def _scored(path: Path, found: Sequence[FoldPredictions], device: str) -> list[FoldPredictions]:
    checkpoint = load_checkpoint(path, device)
    return [predict_fold(checkpoint, one.plain.utterances, one.plain.folds[0]) for one in found]


def _info(path: Path | None) -> CheckpointInfo | None:
    """The metadata of a checkpoint that can score; weights of an encoder alone have none."""
    if path is None or not path.is_file():
        return None
    try:
        return read_info(path)
    except CheckpointError:
        return None


def _pooled(each: Sequence[FoldPredictions], labels: Sequence[str]) -> Predictions:
    """Those of all folds, among some labels."""
    whole = each[0].counted.among(labels)
    for one in each[1:]:
        whole += one.counted.among(labels)
    return whole


def _figures(name: str, found: Comparison) -> str:
    """`UAR 58.1 %, fast 52.0 %, difference +6.1 points [+3.0, +9.2]: better`."""
    between = ""
    if found.interval:
        low, high = (100 * each for each in found.interval)
        between = f" [{low:+.1f}, {high:+.1f}]"
    text = (
        f"UAR {100 * found.new_uar:.1f} %, {name} {100 * found.old_uar:.1f} %, "
        f"difference {100 * found.difference:+.1f} points{between}: {found.verdict}"
    )
    return text + (f"; {_outlook(found)}" if found.verdict == CANNOT_BE_TOLD else "")


def _outlook(found: Comparison) -> str:
    """What would tell."""
    if found.interval is None:
        return SINGLE.format(found.unit)
    if found.needed is None:
        return "no difference to speak of"
    labels, units = found.needed
    here = f"here are {found.recordings:,} of {found.units:,}"
    if labels > MOST_LABELS:
        return f"more than {MOST_LABELS:,} labels would tell such a difference, {here}"
    return (
        f"about {labels:,} labels of {units:,} {found.unit}s would tell such a difference, {here}"
    )

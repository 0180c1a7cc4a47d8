"""Pictures of a training and of an evaluation, without global state of matplotlib."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from train.fitting import Epoch, best_epoch
from train.metrics import Array, calibration_error

TRAIN, VALID = "tab:blue", "tab:orange"


def curves(path: Path, history: Sequence[Epoch], monitor: str) -> None:
    """Loss and accuracy of both sides by epoch; a line marks the epoch that is kept."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [each.epoch for each in history]
    best = best_epoch(history, monitor).epoch
    for axes, name, unit in ((left, "loss", 1.0), (right, "accuracy", 100.0)):
        for side, colour in (("train", TRAIN), ("valid", VALID)):
            values = [unit * float(getattr(each, f"{side}_{name}")) for each in history]
            axes.plot(epochs, values, color=colour, marker=".", label=side)
        axes.axvline(best, color="grey", linestyle=":", label=f"kept: epoch {best}")
        axes.set(xlabel="epoch", ylabel=name if unit == 1.0 else f"{name} in percent")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def confusion(
    path: Path, truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> None:
    """The confusion matrix: percent of each true label, and counts."""
    counts = confusion_matrix(truth, predicted, labels=list(labels))
    confusion_of(path, counts, counts, labels, labels)


def confusion_of(
    path: Path,
    weighted: NDArray[Any],
    counts: NDArray[Any],
    true: Sequence[str],
    predicted: Sequence[str],
) -> None:
    """The same from matrices (true, predicted): percent of what is weighted, and counts."""
    totals = weighted.sum(1, keepdims=True)
    shares = np.divide(100 * weighted, totals, out=np.zeros(weighted.shape), where=totals > 0)
    height, width = 2.2 + 0.62 * len(true), 2.8 + 0.62 * len(predicted)
    figure = Figure(figsize=(width, height), layout="compressed")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row in range(len(true)):
        for column in range(len(predicted)):
            colour = "white" if shares[row, column] > 55 else "black"
            text = f"{shares[row, column]:.0f}\n({counts[row, column]:g})"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    axes.set_xticks(range(len(predicted)), predicted, rotation=45, ha="right")
    axes.set_yticks(range(len(true)), true)
    axes.set(xlabel="predicted", ylabel="true")
    figure.colorbar(image, ax=axes, shrink=0.8, label="percent of the true label")
    figure.savefig(path, dpi=120)


def reliability(path: Path, bins: Array, counted: str = "recordings") -> None:
    """Accuracy and what is counted by confidence, from `metrics.calibration_bins`."""
    figure = Figure(figsize=(4.6, 5.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges = np.linspace(0, 1, len(bins) + 1)
    filled = bins[:, 0] > 0
    accuracy = np.divide(bins[:, 2], bins[:, 0], out=np.zeros(len(bins)), where=filled)
    top.bar(edges[:-1], accuracy, 1 / len(bins), align="edge", color=TRAIN, edgecolor="white")
    top.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="perfect")
    top.set(ylabel="accuracy", ylim=(0, 1), xlim=(0, 1))
    top.set_title(f"expected calibration error {100 * float(calibration_error(bins)):.1f} %")
    top.legend(frameon=False)
    bottom.bar(edges[:-1], bins[:, 0], 1 / len(bins), align="edge", color="grey", edgecolor="white")
    bottom.set(xlabel="confidence", ylabel=counted)
    figure.savefig(path, dpi=120)


def thresholds(path: Path, curves: Mapping[str, Array], wanted: float) -> None:
    """Precision and recall of each label by the threshold of its probability.

    Curves (points, 3): threshold, precision, recall; a line marks the precision that is wanted.
    """
    columns = math.ceil(math.sqrt(len(curves))) or 1
    rows = math.ceil(len(curves) / columns) or 1
    figure = Figure(figsize=(0.6 + 3.2 * columns, 0.7 + 2.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, (label, points) in zip(grid.flat, curves.items(), strict=False):
        for number, (name, colour) in enumerate((("precision", TRAIN), ("recall", VALID)), 1):
            axes.step(points[:, 0], points[:, number], where="post", color=colour, label=name)
        axes.axhline(wanted, color="grey", linestyle=":", linewidth=1, label="wanted precision")
        axes.set_title(label, fontsize=10)
        axes.set(xlim=(0, 1), ylim=(0, 1.03))
    for number, axes in enumerate(grid.flat):
        axes.tick_params(labelbottom=number + columns >= len(curves))
        axes.set_axis_on() if number < len(curves) else axes.set_axis_off()
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    figure.supxlabel("threshold of the probability", fontsize=10)
    figure.savefig(path, dpi=120)


Picture = NDArray[np.float32]


def examples(path: Path, pictures: Mapping[str, Sequence[tuple[str, Picture]]]) -> None:
    """The front end's features of one recording per label: as it is, and augmented."""
    columns = max(len(each) for each in pictures.values())
    figure = Figure(figsize=(4.2 * columns, 1.7 * len(pictures) + 0.5), layout="constrained")
    grid = figure.subplots(len(pictures), columns, squeeze=False)
    for row, (label, shown) in zip(grid, pictures.items(), strict=True):
        for axes, (title, values) in zip(row, shown, strict=True):
            _picture(axes, values)
            axes.set_title(f"{label}, {title}", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("frame")
    figure.savefig(path, dpi=100)


def _picture(axes: Axes, values: Picture) -> None:
    """Bands over frames, or the waveform where there is one band."""
    if len(values) == 1:
        axes.plot(values[0], linewidth=0.3)
        axes.margins(x=0)
        return
    low, high = np.percentile(values, [1, 99])
    axes.imshow(
        values, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=max(high, low + 1e-6)
    )
    axes.set_ylabel("band")

"""How good the shipped checkpoints are, on recordings held out in every way: `make evaluate`.

With `ship`, the checkpoints trained on everything go into models/checkpoints/, their cards with
these figures. Trainings and figures stay in `.evaluate/`: a call that was stopped goes on.
"""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from conditions import LENGTHS_S
from held_out import (
    EVERY,
    WORK,
    encoder_seconds_per_hour,
    seconds_per_hour,
    shipped_training,
    under_conditions,
    unknown_folder,
)
from matplotlib.figure import Figure
from results import RESULTS, SHARED, write_section
from tables import adaptation, by_condition, by_group, folds_of, summary
from trained import DATA, require_corpora

from models import load_checkpoint
from models.checkpoint import save_checkpoint
from models.loading import SHIPPED, load_network
from train.card import card
from train.corpora import read_data
from train.store import load_utterance

RECIPES = ("accurate", "fast")
STORED = Path(__file__).parent.parent / "tests" / "shipped"
REMEMBERED = 4  # recordings of each corpus


def published() -> list[tuple[str, float]]:
    """The ten models of EmoBox's table on RAVDESS: name and UAR in percent."""
    with (SHARED / "benchmarks" / "emobox_results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] == "ravdess"]
    return [(row["model"], float(row["ua"])) for row in rows]


def draw(path: Path, points: dict[str, tuple[float, float]]) -> None:
    """Accuracy against cost, with the published models' accuracy as lines."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    cost = max(seconds for seconds, _ in points.values())
    for name, uar in published():
        axes.axhline(uar, color="lightgrey", zorder=0)
        axes.annotate(name, (1.9 * cost, uar), fontsize=7, color="grey", va="center", ha="right")
    for name, (seconds, uar) in points.items():
        axes.plot(seconds, uar, "o", color="tab:blue")
        axes.annotate(f" {name}", (seconds, uar), va="bottom")
    axes.set(
        xscale="log", xlim=(1, 2 * cost), xlabel="seconds of one core for an hour of audio",
        ylabel="UAR on new voices, RAVDESS's six folds, in percent",
    )  # fmt: skip
    figure.savefig(path, dpi=120)


def ship(recipe: str, report: list[str]) -> None:
    """The checkpoint on everything, with its figures, into the package; and its card."""
    made = WORK / f"{recipe}.safetensors"
    info, network = load_network(made)
    info = replace(info, report="\n".join(report))
    target = SHIPPED / f"{recipe}.safetensors"
    save_checkpoint(target, info, network)
    target.with_suffix(".md").write_text(card(info, all_seen=True))
    remember(recipe)


def remember(name: str) -> None:
    """What a shipped checkpoint says of a few recordings, for tests/test_shipped.py."""
    checkpoint = load_checkpoint(name)
    draw = np.random.default_rng(0)
    chosen = [
        each
        for data in EVERY
        for each in draw.choice(np.array(read_data([data]), object), REMEMBERED, replace=False)
    ]
    rate_hz = checkpoint.info.rate_hz
    scores = checkpoint.score_all([load_utterance(each, rate_hz) for each in chosen])
    files = [each.path.relative_to(DATA).as_posix() for each in chosen]
    stored = {
        "sha256": checkpoint.digest,
        "labels": checkpoint.info.labels,
        "truth": [each.label for each in chosen],
        "recordings": {
            file: [round(float(p), 5) for p in row] for file, row in zip(files, scores, strict=True)
        },
    }
    STORED.mkdir(parents=True, exist_ok=True)
    (STORED / f"{name}.json").write_text(json.dumps(stored, indent=1) + "\n")


def main() -> None:
    require_corpora()
    points = {}
    for recipe in RECIPES:
        folder = shipped_training(recipe)
        heard = under_conditions(folder)
        seconds = seconds_per_hour(load_checkpoint(WORK / f"{recipe}.safetensors"))
        points[recipe] = (seconds, 100 * float(np.mean(folds_of(folder, "ravdess"))))
        encoder = encoder_seconds_per_hour()
        speed = (
            f"Front end and network take {seconds:.1f} s of one core for an hour of audio, in "
            f"segments of 4 s; in the same run the encoder of Whisper tiny alone {encoder:.1f} s, "
            f"{encoder / seconds:.1f} times as much."
        )
        report = [*summary(recipe, folder, heard), "", *by_condition(heard), "", *by_group(heard)]
        lengths = ", ".join(f"{each} s" for each in LENGTHS_S)
        notes = [
            "", "Intervals: bootstrap over speakers, 95 %. Each corpus is judged among the labels "
            f"that it has. {lengths} are cut from the middle; what is shorter stays whole.",
        ]  # fmt: skip
        write_section(f"The checkpoint {recipe}", "make evaluate", [*report, *notes, "", speed])
        by_groups = adaptation(recipe, folder, unknown_folder(recipe))
        write_section(f"Adaptation of {recipe} to groups", "make evaluate", by_groups)
        if sys.argv[1:] == ["ship"]:
            ship(recipe, [*report, *notes, "", "### Adapted to groups", "", *by_groups])
    draw(RESULTS.with_name("accuracy.png"), points)
    best = max(published(), key=lambda each: each[1])
    write_section(
        "Accuracy against speed", "make evaluate",
        ["![UAR against seconds of a core](accuracy.png)", "",
         f"The lines are the ten models of EmoBox's table; the best is {best[0]}, {best[1]:g} %."],
    )  # fmt: skip


if __name__ == "__main__":
    main()

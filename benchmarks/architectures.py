"""Every architecture on RAVDESS, known and new speakers, and across corpora: `make study`.

Hours on two cores. Each training and its figures stay in `.study/`, so that a call that was
stopped goes on, and one that is done only writes docs/results.md again. With names of recipes as
arguments it does the first round of those and writes no table; `done` writes what there is.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from results import write_section
from trained import ASED, DATA, EMOBOX, RANDOM, RAVDESS, TUREV, require_corpora, trained
from trained import read as read_json

from train.evaluate import EvaluateConfig, evaluate

WORK = Path(".study")
ABROAD = {"ASED": ASED, "TurEV-DB": TUREV}
SMALL_AST = (
    "settings.hidden_size=128",
    "settings.num_hidden_layers=4",
    "settings.num_attention_heads=4",
    "settings.intermediate_size=512",
    "settings.max_length=304",
    "settings.frequency_stride=16",
    "settings.time_stride=16",
    "optimisation.epochs=25",
    "optimisation.learning_rate=0.001",
    "optimisation.batch_size=16",
    "optimisation.patience=25",
    "augmentation.mixup=0",
    "augmentation.time_masks=0",
    "augmentation.band_masks=0",
)


@dataclass(frozen=True)
class Entry:
    """One row of the table: a recipe, how often it is trained, and what its authors report."""

    title: str
    recipe: str
    seeds: int
    folds: tuple[int, ...]
    reported: str
    overrides: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        return self.title.replace(", ", "-").replace(" ", "-")


ENTRIES = (
    Entry("whisper, frozen", "whisper-frozen", 3, (1, 2, 3, 4, 5, 6), ""),
    Entry("whisper, frozen, hidden layer", "whisper-mlp", 5, (1, 2, 3, 4, 5, 6), ""),
    Entry("acnt", "acnt", 3, (1, 2), ""),
    Entry("gap_cnn", "gap-cnn", 3, (1, 2), ""),
    Entry("mfcc_cnn", "mfcc-cnn", 3, (1, 2), "83.68 % (doubled download)"),
    Entry("ast, small, from scratch", "ast", 2, (1, 2), "91 % (base size, pretrained)", SMALL_AST),
    Entry("whisper, fine-tuned", "whisper", 3, (1, 2), ""),
    Entry("vgg", "vgg", 2, (1, 2), "55 to 60 % (new speakers, six classes, with CREMA-D)"),
)


def done(name: str, entry: Entry, split: str, seed: int, **more: Any) -> Path:
    """The folder of a training of RAVDESS, done now unless it was done before."""
    data = (more.pop("data", RAVDESS),)
    more |= {"split": split, "seed": seed, "overrides": entry.overrides}
    return trained(WORK / name, WORK / "cache", data, entry.recipe, **more)


def judged(name: str, model: Path, data: str) -> dict[str, Any]:
    """The metrics of a checkpoint on a corpus that it was not trained on."""
    out = WORK / name
    if not (out / "metrics.json").exists():
        evaluate(EvaluateConfig((data,), str(model / "checkpoint.safetensors"), str(out)))
    return read(out)


def read(folder: Path) -> dict[str, Any]:
    return read_json(folder / "metrics.json")


def several(found: list[dict[str, Any]], name: str) -> str:
    """A figure's mean over trainings, and the spread that a reader must expect."""
    if not found:
        return "not yet"
    values = [100 * each["headline"][name]["value"] for each in found]
    mean = np.mean(values)
    if len(values) == 1:
        low, high = (100 * found[0]["headline"][name][end] for end in ("low", "high"))
        return f"{mean:.1f} [{low:.1f}, {high:.1f}]"
    return f"{mean:.1f} ({min(values):.1f} to {max(values):.1f})"


def row(entry: Entry, rounds: int) -> str:
    """One architecture: seen speakers, unseen speakers, other corpora; trained now or before."""

    def requested(number: int, name: str) -> bool:
        return number < rounds or (WORK / entry.slug / name / "metrics.json").exists()

    seeds = [seed for seed in range(entry.seeds) if requested(seed, f"random-{seed}")]
    folds = [n for i, n in enumerate(entry.folds) if requested(i, f"fold-{n}")]
    seen = [read(done(f"{entry.slug}/random-{seed}", entry, RANDOM, seed)) for seed in seeds]
    folders = [done(f"{entry.slug}/fold-{n}", entry, f"{EMOBOX}:{n}", 0) for n in folds]
    unseen = [read(folder) for folder in folders]
    abroad = [
        several([judged(f"{entry.slug}/{name}", one, data) for one in folders[:1]], "uar")
        for name, data in ABROAD.items()
    ]
    cells = [
        entry.title,
        several(seen, "accuracy"),
        str(len(seen)),
        several(unseen, "uar"),
        ", ".join(map(str, folds)),
        *abroad,
        entry.reported,
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| architecture | speaker-dependent: accuracy, random 80/10/10 | seeds "
    "| speaker-independent: UAR, EmoBox's folds | folds | ASED: UAR | TurEV-DB: UAR "
    "| reported by its authors |"
)
NOTES = """
All in percent, on RAVDESS's speech, eight labels. Several trainings: their mean, and the lowest
and highest of them; one: its bootstrap 95 % interval over speakers. A random split has 144 test
recordings, so one training's accuracy is known to about 5 points; its test speakers are also in
training (speaker-dependent). EmoBox's folds have four unseen speakers each and differ widely:
figures of some folds are not comparable with the mean of six. "Not yet": `make study` goes on
there. ASED and TurEV-DB: the checkpoint of fold 1 on all their recordings, shared labels only
(five and four), other languages; chance is 20 and 25. What authors report: AST's is for the base
size pretrained on AudioSet, which cannot be had here; VGG's is for six classes of RAVDESS with
CREMA-D, and not comparable. The hidden layer's learning
rate, epochs and monitor were chosen by figures on these same recordings: its speaker-dependent
figure is a little too good.""".strip()


def only(recipes: Sequence[str]) -> None:
    """The first round of some recipes, without the table: for several processes at once."""
    for entry in ENTRIES:
        if entry.recipe in recipes:
            print(row(entry, 1))
    if "leak" in recipes:
        leak()


def table(most_rounds: int) -> None:
    """Write what is done; then train what is missing, in rounds of a seed and a fold for each."""
    lines = {each.title: row(each, 0) for each in ENTRIES}
    write_table(lines)
    for rounds in range(1, most_rounds + 1):
        for entry in ENTRIES:
            lines[entry.title] = row(entry, rounds)
            write_table(lines)
        if rounds == 1:
            leak()


def write_table(lines: dict[str, str]) -> None:
    head = [HEAD, "|---|" + "---|" * 7]
    rows = [*head, *lines.values(), "", *NOTES.splitlines()]
    write_section("Every architecture", "make study", rows)


def doubled() -> Path:
    """RAVDESS as the well-known download has it: every file twice. Links, no copies."""
    root = WORK / "doubled"
    for copy in ("first", "second"):
        for path in sorted((DATA / "ravdess").rglob("*.flac")):
            link = root / copy / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                os.symlink(path.resolve(), link)
    return root


def leak() -> None:
    """What the doubled download is worth: mfcc_cnn with and without copies on both sides."""
    short = Entry("leak", "mfcc-cnn", 1, (), "", ("optimisation.epochs=12",))
    clean = read(done("leak/clean", short, RANDOM, 0))["headline"]["accuracy"]
    out = done(
        "leak/doubled",
        short,
        RANDOM,
        0,
        data=f"ravdess:{doubled()}",
        allow_duplicates=True,
        allow_leak=True,
    )
    leaked = read(out)["headline"]["accuracy"]
    write_section(
        "What the doubled RAVDESS download is worth",
        "make study",
        [
            "`mfcc-cnn`, 12 epochs, random 80/10/10, accuracy in percent. As the well-known "
            "download has it, every file twice, copies on both sides (2,880 files): "
            f"{_as_text(leaked)}. Each recording once: {_as_text(clean)} (half as many steps an "
            "epoch; 30 epochs give the figure in the table above). Its authors report 83.68. "
            "`train` finds the copies by their content and keeps each once; only "
            "`--allow-duplicates --allow-leak` gives the first figure.",
        ],
    )


def _as_text(each: dict[str, float]) -> str:
    return f"{100 * each['value']:.1f} [{100 * each['low']:.1f}, {100 * each['high']:.1f}]"


if __name__ == "__main__":
    require_corpora()
    if sys.argv[1:] == ["done"]:
        table(0)
    elif sys.argv[1:]:
        only(sys.argv[1:])
    else:
        table(max(max(each.seeds, len(each.folds)) for each in ENTRIES))

"""A head fitted on labels of one's own alone: how many it takes, and what the shipped one is worth.

nEMO stands for a user's recordings. Three of its nine speakers are held out, drawn anew each time;
of the six others 50, 200, 1,000 or all recordings fit a head, with the ordinary speech and without
any other labelled corpus, as `batch-ser train --recipe accurate --fresh-head` does. Beside it is
the head of the shipped recipe that was fitted on the other corpora, without nEMO.

`python benchmarks/fresh_head.py` writes a section of docs/results.md.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from heads import CORPORA, Head, Heads
from left_out import Judged
from numpy.typing import NDArray
from results import write_section
from trained import require_corpora

from models.loading import SHIPPED
from models.scoring import Checkpoint
from train.data import in_order
from train.evaluation import CORPUS
from train.fitting import fit_sample
from train.recipes import RECIPES

RECIPE, OWN = "accurate", "nemo"
HELD_OUT = 3  # speakers
LABELLED: tuple[int | None, ...] = (50, 200, 1000, None)  # recordings of the others; None: all
DRAWS = 10
COMMAND = "python benchmarks/fresh_head.py"
SHIPPED_ROW = f"none: the shipped recipe without {CORPORA[OWN]}"
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Figure:
    """A head on the speakers held out."""

    uar: float  # in percent, by archive, balanced
    temperature: float


def measured(heads: Heads, draws: int = DRAWS) -> dict[str, list[Figure]]:
    """The figures of every draw, by what the head was fitted on."""
    shipped = heads.without_corpus(OWN)
    found: dict[str, list[Figure]] = {}
    for number in range(draws):
        own, held_out = drawn(heads, np.random.default_rng(number))
        found.setdefault(SHIPPED_ROW, []).append(figure(heads, shipped, held_out))
        for count in LABELLED:
            name = f"{count:,}" if count else "all of six speakers"
            head = fresh_head(heads, own[:count])
            found.setdefault(name, []).append(figure(heads, head, held_out))
    return found


def drawn(heads: Heads, draw: np.random.Generator) -> tuple[Rows, Rows]:
    """Recordings of the speakers that are left, shuffled, and of those held out."""
    rows = np.flatnonzero(heads.corpora == OWN)
    speakers = np.array([heads.data.utterances[row].speaker for row in rows])
    held_out = np.isin(speakers, draw.choice(np.unique(speakers), HELD_OUT, replace=False))
    return draw.permutation(rows[~held_out]), rows[held_out]


def fresh_head(heads: Heads, own: Rows) -> Head:
    """A head fitted on some recordings and on the ordinary speech, with labels of their own."""
    sample = heads.sample.rows(heads.sample.is_ordinary | np.isin(heads.sample.recordings, own))
    labels = in_order(heads.data.utterances[row].label for row in own)
    numbers = np.array([labels.index(each) if each in labels else -1 for each in heads.labels])
    labelled = np.where(sample.is_ordinary, sample.labels, numbers[sample.labels])
    info, network = heads.loaded
    lda = RECIPES[heads.recipe].lda
    found = fit_sample(replace(sample, labels=labelled), labels, network.embedding_width, lda)
    network = deepcopy(network)
    network.head = found.head
    info = replace(info, temperature=found.temperature, labels=labels)
    return Head(Checkpoint(info, network, "fresh"), found, info, network)


def figure(heads: Heads, head: Head, rows: Rows) -> Figure:
    statistics, durations_s = heads.as_they_are(rows)
    utterances = [heads.data.utterances[row] for row in rows]
    judged = Judged(head, utterances, head.embed(statistics), durations_s)
    return Figure(judged.uar(CORPUS, "balanced"), head.info.temperature)


def table(found: Mapping[str, Sequence[Figure]]) -> list[str]:
    lines = [
        f"| labels of {CORPORA[OWN]} | UAR by archive: mean, least, most | above the shipped "
        "recipe: points, draws | temperature |",
        "|---|---|---|---|",
    ]
    shipped = np.array([each.uar for each in found[SHIPPED_ROW]])
    for name, figures in found.items():
        uar = np.array([each.uar for each in figures])
        above = f"{np.mean(uar - shipped):+.1f}, {(uar > shipped).sum()} of {len(uar)}"
        lines.append(
            f"| {name} | {uar.mean():.1f}, {uar.min():.1f}, {uar.max():.1f} | "
            f"{'' if name == SHIPPED_ROW else above} | "
            f"{np.mean([each.temperature for each in figures]):.1f} |"
        )
    return lines


def main() -> None:
    require_corpora()
    heads = Heads(RECIPE, SHIPPED / f"{RECIPE}.safetensors")
    note = (
        f"`{RECIPE} --fresh-head` on recordings of {CORPORA[OWN]} and the ordinary speech, judged "
        f"on {HELD_OUT} speakers held out, balanced, in {DRAWS} draws of speakers and recordings. "
        "By chance: 16.7. The settings of the recipe were chosen with all four corpora "
        "(What the fit is worth)."
    )
    write_section("A fresh head", COMMAND, [*table(measured(heads)), "", note])


if __name__ == "__main__":
    main()

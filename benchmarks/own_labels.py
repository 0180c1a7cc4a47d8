"""What labels of one's own are worth: heads moved by few and many, on speakers that gave none.

`python benchmarks/own_labels.py RECIPE` writes a section of docs/results.md. Each corpus in turn is
a user's archive: the head was made without it, a third of its speakers judge, and labels are drawn
from the others. All recordings give the archive's offset, without labels, before and after. The
strengths of the priors were chosen on RAVDESS, ASED and TurEV-DB; nEMO judges them.
"""

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from heads import CORPORA, Head, Heads
from numpy.typing import NDArray
from results import write_section
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import recall_score
from trained import require_corpora

from batch_ser.results import Sums
from models.loading import SHIPPED
from train.own_head import Embedded, OwnHead
from train.recipes import HeadSettings

COUNTS = (10, 20, 50, 100, 200, 500, 1000)
EVERYTHING = 1_000_000
DRAWS = 20
JUDGED_SHARE = 1 / 3  # of the speakers
UNCERTAIN_POOL = 0.1  # of the segments: `sample --uncertain` draws from these
MEANS_ALONE = HeadSettings(covariance_strength=1e12)
Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Ways = Mapping[str, Callable[["Archive", Rows, Rows], Array]]


@dataclass(frozen=True)
class Archive:
    """A corpus, scored by a head that was made without it."""

    own: OwnHead
    shares: Array  # (labels,): equal, of the labels that it has

    @classmethod
    def of(cls, heads: Heads, corpus: str) -> "Archive":
        head: Head = heads.without_corpus(corpus)
        rows = np.flatnonzero(heads.corpora == corpus)
        utterances = tuple(heads.data.chosen(list(rows)))
        statistics, durations_s = heads.as_they_are(rows)
        embeddings = head.embed(statistics).astype(np.float64)
        shares = np.isin(heads.labels, [each.label for each in utterances]) * 1.0
        shares /= shares.sum()
        expect = ",".join(f"{n}={s:.12g}" for n, s in zip(heads.labels, shares, strict=True))
        sums = Sums(embeddings.sum(0), len(rows), len(rows))
        embedded = Embedded(utterances, embeddings, durations_s, sums, expect)
        return cls(OwnHead(head.checkpoint, embedded, HeadSettings()), shares)

    @cached_property
    def truth(self) -> Rows:
        return self.own.labelled.labels

    @cached_property
    def before(self) -> Array:
        """Log-likelihoods (n, labels) of all recordings, without any label."""
        embedded = self.own.embedded
        head = self.own.checkpoint.head
        return head.log_likelihoods(embedded.embeddings, embedded.durations_s, self.own.offset)

    def uar(self, scores: Array, rows: Rows) -> float:
        """In percent, among the labels that it has, of scores (n, labels) of some recordings."""
        predicted = np.where(self.shares > 0, scores, -np.inf).argmax(1)
        truth = self.truth[rows]
        found = recall_score(
            truth, predicted, labels=np.unique(truth), average="macro", zero_division=0
        )
        return 100 * float(found)


def moved(archive: Archive, labelled: Rows, judged: Rows) -> Array:
    """As `train --recipe head`, and a job with it."""
    return archive.own.likelihoods(archive.own.moved(labelled), judged, by_archive=True)


def means_alone(archive: Archive, labelled: Rows, judged: Rows) -> Array:
    """The same without a covariance of the user's own."""
    own = replace(archive.own, settings=MEANS_ALONE)
    return own.likelihoods(own.moved(labelled), judged, by_archive=True)


def labels_alone(archive: Archive, labelled: Rows, judged: Rows) -> Array:
    """Discriminant analysis on the labels alone, of the same embeddings."""
    embeddings, truth = archive.own.embedded.embeddings, archive.truth[labelled]
    scores = np.full((len(judged), len(archive.shares)), -1e9)
    if len(np.unique(truth)) > 1 and len(truth) > len(np.unique(truth)):
        fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        fitted.fit(embeddings[labelled], truth)
        scores[:, fitted.classes_] = (
            fitted.decision_function(embeddings[judged])
            if len(fitted.classes_) > 2
            else fitted.predict_log_proba(embeddings[judged])
        )
    return scores


WAYS: Ways = {
    "head": moved,
    "head, means alone": means_alone,
    "discriminant analysis of the labels alone": labels_alone,
}


def half_uncertain(
    archive: Archive, pool: Rows, count: int, draw: np.random.Generator
) -> tuple[Rows, Array]:
    """Half of the labels as `sample --uncertain` draws them, the others uniformly; and weights.

    A weight is 1 over the probability that a recording is drawn, as in `labels.csv`.
    """
    scores = np.where(archive.shares > 0, archive.before[pool], -np.inf)
    top = np.sort(scores, axis=1)
    margins = top[:, -1] - top[:, -2]
    half = count // 2
    size = max(round(UNCERTAIN_POOL * len(pool)), 2 * half)
    least = pool[np.argsort(margins)[:size]]
    unsure = draw.choice(least, half, replace=False)
    rest = np.setdiff1d(pool, unsure)
    rows = np.concatenate([unsure, draw.choice(rest, count - half, replace=False)])
    uniform = (count - half) / (len(pool) - half)
    first = np.isin(rows, least) * half / size
    return rows, 1 / (first + (1 - first) * uniform)


def weighted(archive: Archive, rows: Rows, weights: Array) -> Archive:
    """The archive, where labels of some recordings have weights."""
    utterances = list(archive.own.embedded.utterances)
    for row, weight in zip(rows, weights, strict=True):
        utterances[row] = replace(utterances[row], weight=float(weight))
    embedded = replace(archive.own.embedded, utterances=tuple(utterances))
    return replace(archive, own=replace(archive.own, embedded=embedded))


UNCERTAIN = "head, half of the labels uncertain"
WEIGHTED = f"{UNCERTAIN}, with weights"
Curves = dict[str, dict[int, list[float]]]  # gains in points by way and number of labels


def curves(archive: Archive, draws: int = DRAWS) -> tuple[Curves, float]:
    """Gains over what needs no label, and the mean UAR of that."""
    names = np.array([each.speaker for each in archive.own.embedded.utterances])
    speakers, found, base = np.unique(names), Curves(), []
    for number in range(draws):
        draw = np.random.default_rng(number)
        chosen = draw.permutation(speakers)[: max(2, round(JUDGED_SHARE * len(speakers)))]
        judged, pool = (
            np.flatnonzero(np.isin(names, chosen)),
            np.flatnonzero(~np.isin(names, chosen)),
        )
        start = archive.uar(archive.before[judged], judged)
        base.append(start)
        order = draw.permutation(pool)
        for count in (*(each for each in COUNTS if each < len(pool)), EVERYTHING):
            for name, way in WAYS.items():
                gain = archive.uar(way(archive, order[:count], judged), judged) - start
                found.setdefault(name, {}).setdefault(count, []).append(gain)
            if count < len(pool) / 2:
                rows, weights = half_uncertain(archive, pool, count, draw)
                by_weight = weighted(archive, rows, weights)
                for name, one in ((UNCERTAIN, archive), (WEIGHTED, by_weight)):
                    gain = archive.uar(moved(one, rows, judged), judged) - start
                    found.setdefault(name, {}).setdefault(count, []).append(gain)
    return found, float(np.mean(base))


def main(recipe: str) -> None:
    """One table for each corpus."""
    require_corpora()
    warnings.simplefilter("ignore")  # of scikit-learn, where a label has one recording
    heads = Heads(recipe, SHIPPED / f"{recipe}.safetensors")
    lines = []
    for corpus, title in CORPORA.items():
        found, base = curves(Archive.of(heads, corpus))
        counts = sorted({count for each in found.values() for count in each})
        lines += [
            f"| {title}: {base:.1f} % | {' | '.join(map(shown, counts))} |",
            f"|---|{'---|' * len(counts)}",
            *(f"| {name} | {cells(each, counts)} |" for name, each in found.items()),
            "",
        ]
        print("\n".join(lines[-7:]), file=sys.stderr)
    lines.append(
        f"`{recipe}`. Gains in points of UAR over the shipped recipe without any label (behind the "
        f"name of the corpus, by archive), by the number of labels: means of {DRAWS} draws of "
        "judged speakers (a third) and of labels from the others, in brackets the standard "
        "deviation over draws."
    )
    write_section(
        f"Labels of one's own, {recipe}", f"python benchmarks/own_labels.py {recipe}", lines
    )


def shown(count: int) -> str:
    return "all" if count == EVERYTHING else f"{count:,}"


def cells(each: Mapping[int, list[float]], counts: list[int]) -> str:
    return " | ".join(
        f"{np.mean(each[count]):+.1f} ({np.std(each[count]):.1f})" if count in each else ""
        for count in counts
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "accurate")

"""How heads do on what they never met: corpora, languages, lines, lengths, mixtures of labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from conditions import conditions
from heads import CORPORA, LANGUAGES, Head, Heads, as_they_are, utterances_of
from numpy.typing import NDArray
from trained import DATA, EMOBOX

from batch_ser.audio import Samples
from batch_ser.results import NONE, Sums
from models.expectation import parse_expectation
from models.offset_head import Offset
from train import metrics
from train.data import Utterance, load_utterance
from train.evaluation import CORPUS, SPEAKER, Adaptation
from train.splits import make_split

SOME = 300  # recordings of a corpus that are judged under conditions
NEUTRAL = ("neutral", "calm")
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Judged:
    """Recordings that a head never met, embedded by it."""

    head: Head
    utterances: list[Utterance]
    embeddings: NDArray[np.float32]
    durations_s: NDArray[np.float64]

    @property
    def truth(self) -> NDArray[np.str_]:
        return np.array([each.label for each in self.utterances])

    def rows(self, rows: NDArray[np.int64]) -> "Judged":
        chosen = [self.utterances[row] for row in rows]
        return Judged(self.head, chosen, self.embeddings[rows], self.durations_s[rows])

    def scores(self, by: str, expect: str) -> Floats:
        """Probabilities (n, labels), as `run` gives them."""
        way = Adaptation(by, expect)
        return way.scores(self.head.checkpoint, self.utterances, self.embeddings, self.durations_s)

    def uar(self, by: str, expect: str) -> float:
        return self.uar_of(self.scores(by, expect))

    def uar_of(self, scores: Floats) -> float:
        """UAR in percent among the labels that the recordings have."""
        found, labels, shares = self.shared(scores)
        predicted = np.array(labels)[shares.argmax(1)]
        return 100 * metrics.scores(list(found), list(predicted))["UAR"]

    def shared(self, scores: Floats) -> tuple[NDArray[np.str_], list[str], Floats]:
        """Labels (m,) of the recordings whose label training had, these labels, and probabilities
        (m, labels) among them, renormalised.
        """
        known = self.head.found.fitted.known
        all_labels = self.head.checkpoint.info.labels
        names = [n for n, is_known in zip(all_labels, known, strict=True) if is_known]
        labels = [name for name in names if name in set(self.truth)]
        own = np.isin(self.truth, labels)
        chosen = scores[own][:, [all_labels.index(name) for name in labels]].astype(np.float64)
        return self.truth[own], labels, chosen / chosen.sum(1, keepdims=True)


def left_out(heads: Heads) -> dict[str, Judged]:
    """Each corpus, as it is, and a head that never met it."""
    found = {}
    for corpus in CORPORA:
        rows = np.flatnonzero(heads.corpora == corpus)
        head = heads.without_corpus(corpus)
        statistics, durations_s = heads.as_they_are(rows)
        utterances = [heads.data.utterances[row] for row in rows]
        found[corpus] = Judged(head, utterances, head.embed(statistics), durations_s)
    return found


def balanced(judged: dict[str, Judged]) -> dict[str, dict[str, float]]:
    """UAR of every corpus: with usual offsets of ordinary speech and of training, and adapted."""
    found: dict[str, dict[str, float]] = {}
    for corpus, each in judged.items():
        head, fitted = each.head.checkpoint.head, each.head.found.fitted
        usual = Offset(fitted.of_training, float(head.conditions) * np.eye(fitted.numbers))
        trained = each.head.checkpoint.score_embeddings(
            each.embeddings, each.durations_s, usual, "balanced"
        )
        found[corpus] = {
            "none, offset of ordinary speech": each.uar(NONE, "balanced"),
            "none, offset of training": each.uar_of(trained),
            "by archive": each.uar(CORPUS, "balanced"),
            "by speaker": each.uar(SPEAKER, "balanced"),
            "default": each.uar(CORPUS, "natural"),
        }
    return found


def chance(each: Judged) -> float:
    return 100 / len(each.shared(each.scores(NONE, "balanced"))[1])


def calibration(each: Judged) -> dict[str, float]:
    """Error and Brier score at the default of an archive whose labels have the prior's shares, by
    weights of its recordings; and the Brier score of always answering that prior.
    """
    truth, labels, _ = each.shared(each.scores(NONE, "natural"))
    text = "natural" if "neutral" in labels else "balanced"
    prior = parse_expectation(text, labels, each.head.info.natural).prior
    numbers = np.array([labels.index(label) for label in truth])
    weights = prior[numbers] / np.bincount(numbers)[numbers]
    some = each.rows(np.flatnonzero(np.isin(each.truth, labels)))
    _, _, found = some.shared(_at_the_default(some, weights))
    confidence, right = found.max(1), found.argmax(1) == numbers
    bins = np.minimum((confidence * metrics.BINS).astype(int), metrics.BINS - 1)
    apart = np.bincount(bins, weights * (confidence - right), metrics.BINS)
    one_hot = np.eye(len(labels))[numbers]
    brier = [((p - one_hot) ** 2).sum(1) @ weights for p in (found, prior[None])]
    return {"error": float(np.abs(apart).sum()), "brier": brier[0], "brier of the prior": brier[1]}


def _at_the_default(each: Judged, weights: Floats) -> Floats:
    """Probabilities (n, labels) as those of an archive in which recordings count by `weights`."""
    checkpoint, count = each.head.checkpoint, len(weights)
    total = weights @ each.embeddings.astype(np.float64) * count
    shares = checkpoint.expectation("natural").offset
    usual = checkpoint.head.usual_offset()
    offset = checkpoint.head.estimate("archive", usual, Sums(total, count, count), shares)
    return checkpoint.score_embeddings(each.embeddings, each.durations_s, offset, "natural")


def ordinary(heads: Heads) -> dict[str, dict[str, float]]:
    """Shares in percent called neutral or calm, of ordinary speech that no head met."""
    interviews = utterances_of(f"ordinary:{DATA / 'interviews'}")
    sets = {"interviews": (interviews, heads.without(np.zeros(len(heads.corpora), bool)))}
    for language in LANGUAGES:
        own = [
            each
            for each in heads.data.utterances
            if each.is_ordinary and each.path.parent.name == language
        ]
        sets[f"prompts, {language}"] = own, heads.without_language(language)
    found = {}
    for name, (utterances, head) in sets.items():
        statistics, durations_s = heads.statistics(utterances, as_they_are, name)
        judged = Judged(head, list(utterances), head.embed(statistics), durations_s)
        found[name] = {
            way: 100 * float(np.isin(predicted(judged, by), NEUTRAL).mean())
            for way, by in (("none", NONE), ("default", CORPUS))
        }
    return found


def predicted(judged: Judged, by: str, expect: str = "natural") -> NDArray[np.str_]:
    labels = np.array(judged.head.checkpoint.info.labels)
    return labels[judged.scores(by, expect).argmax(1)]


def under_conditions(heads: Heads, judged: dict[str, Judged]) -> dict[str, dict[str, float]]:
    """UAR by archive of some recordings of each corpus, mean of four, and calibration error."""
    found: dict[str, dict[str, list[float]]] = {}
    for corpus, each in judged.items():
        draw = np.random.default_rng(0)
        count = min(SOME, len(each.utterances))
        some = each.rows(np.sort(draw.choice(len(each.utterances), count, replace=False)))
        for name, load in (conditions(some.utterances) | _lengths(some.utterances)).items():
            statistics, durations_s = heads.statistics(some.utterances, load, f"{corpus}-{name}")
            changed = Judged(each.head, some.utterances, each.head.embed(statistics), durations_s)
            figures = found.setdefault(name, {"UAR": [], "error": []})
            figures["UAR"].append(changed.uar(CORPUS, "balanced"))
            figures["error"].append(calibration(changed)["error"])
    return {
        name: {figure: float(np.mean(values)) for figure, values in each.items()}
        for name, each in found.items()
    }


def _lengths(utterances: Sequence[Utterance]) -> dict[str, Any]:
    """Cuts of drawn lengths, and recordings repeated to 20 s."""

    def cut(low_s: float, high_s: float) -> Any:
        def load(utterance: Utterance, rate_hz: int) -> Samples:
            samples = load_utterance(utterance, rate_hz)
            draw = np.random.default_rng(len(samples))
            length = round(draw.uniform(low_s, high_s) * rate_hz)
            first = max(0, (len(samples) - length) // 2)
            return samples[first : first + length]

        return load

    def joined(utterance: Utterance, rate_hz: int) -> Samples:
        key = utterance.speaker, utterance.label
        same = [each for each in utterances if (each.speaker, each.label) == key]
        every = np.concatenate([load_utterance(each, rate_hz) for each in same[:10]])
        return np.resize(every, 20 * rate_hz).astype(np.float32)

    spans = ((0.5, 1.0), (1.0, 2.0), (2.0, 4.0))
    return {f"cut to {a:g} to {b:g} s": cut(a, b) for a, b in spans} | {"joined to 20 s": joined}


def folds(heads: Heads) -> dict[str, list[float]]:
    """UAR of RAVDESS's six folds, speaker-independent: by their own offset, and by speaker."""
    data = heads.data
    own = np.flatnonzero(heads.corpora == "ravdess")
    utterances = [data.utterances[row] for row in own]
    split = make_split(EMOBOX, utterances, [data.contents[row] for row in own], 0, 0.1)
    found: dict[str, list[float]] = {"by archive": [], "by speaker": []}
    for fold in split.folds:
        rows = own[fold.test]
        left = np.isin(np.arange(len(data.utterances)), rows)
        head = heads.without(left, ("ravdess",))
        statistics, durations_s = heads.as_they_are(rows)
        chosen = [data.utterances[row] for row in rows]
        judged = Judged(head, chosen, head.embed(statistics), durations_s)
        found["by archive"].append(judged.uar(CORPUS, "balanced"))
        found["by speaker"].append(judged.uar(SPEAKER, "balanced"))
    return found

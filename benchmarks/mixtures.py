"""Archives of other mixtures of labels than expected: mostly neutral, one emotion throughout."""

from collections.abc import Iterator

import numpy as np
from left_out import Judged, predicted
from numpy.typing import NDArray

from batch_ser.results import NONE
from train.evaluation import CORPUS

ARCHIVES = 20  # drawn of each kind and size


def nine_tenths_neutral(judged: dict[str, Judged]) -> dict[str, tuple[float, float]]:
    """UAR of archives that are nine tenths neutral: none, and the default."""
    found: dict[str, list[tuple[float, float]]] = {}
    for each in judged.values():
        if "neutral" not in set(each.truth):
            continue
        for size, by_speaker in ((20, False), (100, False), (1000, False), (20, True)):
            draws = list(_archives(each, size, by_speaker))
            whole = each.rows(np.concatenate(draws))
            scores = [
                np.concatenate([each.rows(rows).scores(by, "natural") for rows in draws])
                for by in (NONE, CORPUS)
            ]
            name = f"{size} segments, {'one speaker' if by_speaker else 'many speakers'}"
            pair = whole.uar_of(scores[0]), whole.uar_of(scores[1])
            found.setdefault(name, []).append(pair)
    return {name: tuple(np.mean(pairs, axis=0)) for name, pairs in found.items()}


def _archives(each: Judged, size: int, by_speaker: bool) -> Iterator[NDArray[np.int64]]:
    """Rows of archives, drawn with repetition."""
    draw = np.random.default_rng(size)
    speakers = np.array([one.speaker for one in each.utterances])
    known = each.shared(each.scores(NONE, "balanced"))[1]
    for _ in range(ARCHIVES if size < 1000 else 3):
        own = np.ones(len(speakers), bool)
        if by_speaker:
            own = speakers == draw.choice(np.unique(speakers))
        neutral = np.flatnonzero(own & (each.truth == "neutral"))
        others = np.flatnonzero(own & (each.truth != "neutral") & np.isin(each.truth, known))
        if len(neutral) and len(others):
            count = round(0.9 * size)
            yield np.concatenate([draw.choice(neutral, count), draw.choice(others, size - count)])


def one_emotion(judged: dict[str, Judged]) -> dict[str, dict[str, float]]:
    """Recall of archives of one emotion throughout: none, the default, and `--expect` set right."""
    found: dict[str, dict[str, list[float]]] = {}
    for each in judged.values():
        for label in each.shared(each.scores(NONE, "balanced"))[1]:
            own = each.rows(np.flatnonzero(each.truth == label))
            figures = found.setdefault(label, {"none": [], "default": [], "expected": []})
            for name, by, expect in (
                ("none", NONE, "natural"),
                ("default", CORPUS, "natural"),
                ("expected", CORPUS, f"{label}=0.9"),
            ):
                figures[name].append(100 * float((predicted(own, by, expect) == label).mean()))
    return {
        label: {name: float(np.mean(values)) for name, values in each.items()}
        for label, each in found.items()
    }

"""Prevalence from a labelled sample: which estimator is nearest, and do intervals hold the truth.

Archives are simulated: recordings have moods of their own, a model's probabilities are informative,
weakly informative or useless, and either calibrated or too confident. Each is sampled in strata of
the probability, the highest of them most densely, and without strata.

`python benchmarks/judge.py` writes a section of docs/results.md.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from results import write_section

from jobs.judge import share

Array = NDArray[np.float64]
RECORDINGS, SEGMENTS = 400, 25
LABELLED = 300
DRAWS = 500
MODELS = {"good": 2.0, "weak": 0.7, "useless": 0.0}
KINDS = {"calibrated": 1.0, "confident": 3.0}  # scale of its logits
DESIGNS: dict[str, list[float]] = {"strata": [0.5, 0.8, 0.95], "simple": []}  # quantiles
SHARES = (0.03, 0.15)


class Archive(NamedTuple):
    """Segments: whether each has the label, its probability, its recording."""

    truth: Array
    scores: Array
    units: NDArray[np.int64]


class Drawn(NamedTuple):
    """A sample of an archive."""

    truth: Array
    scores: Array
    units: NDArray[np.int64]
    weights: Array


def archive(draw: np.random.Generator, rate: float, power: float, scale: float) -> Archive:
    """`power` of the model in logits, `scale` 1 is calibrated, above 1 too confident."""
    units = np.repeat(np.arange(RECORDINGS), SEGMENTS)
    base = np.log(rate / (1 - rate))
    logits = base + draw.normal(0, 1, RECORDINGS)[units]
    evidence = power * draw.normal(0, 1, len(units))
    truth = draw.random(len(units)) < 1 / (1 + np.exp(-logits - evidence))
    scores = 1 / (1 + np.exp(-(base + scale * (evidence + 0.5 * draw.normal(0, 1, len(units))))))
    return Archive(truth.astype(float), scores, units)


def drawn(draw: np.random.Generator, whole: Archive, edges: Array) -> Drawn:
    """Equally many labelled segments of each stratum between edges of the probability."""
    strata = np.searchsorted(edges, whole.scores)
    rows, weights = [], []
    for stratum in range(len(edges) + 1):
        members = np.flatnonzero(strata == stratum)
        chosen = draw.choice(members, LABELLED // (len(edges) + 1), replace=False)
        rows.append(chosen)
        weights.append(np.full(len(chosen), len(members) / len(chosen)))
    found = np.concatenate(rows)
    return Drawn(
        whole.truth[found], whole.scores[found], whole.units[found], np.concatenate(weights)
    )


def weighted_mean(one: Drawn, _: float) -> float:
    """Of the labels alone (Hajek): what `judge` states."""
    return float(np.average(one.truth, weights=one.weights))


def difference(one: Drawn, mean: float) -> float:
    """The mean probability of the archive, plus the mean error of the sample."""
    return float(mean + np.average(one.truth - one.scores, weights=one.weights))


def regression(one: Drawn, mean: float) -> float:
    """The regression estimator with the probability as the auxiliary variable (GREG)."""
    value, about = (float(np.average(x, weights=one.weights)) for x in (one.truth, one.scores))
    moved = one.scores - about
    slope = np.average(moved * (one.truth - value), weights=one.weights)
    return float(value + slope / np.average(moved**2, weights=one.weights) * (mean - about))


ESTIMATORS: tuple[Callable[[Drawn, float], float], ...] = (weighted_mean, difference, regression)


def main() -> None:
    """One row for each kind of archive and of sample."""
    draw = np.random.default_rng(0)
    lines = [
        "| the label's share, % | model | probabilities | sample | weighted mean | difference "
        "| regression | intervals that hold the share, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rate in SHARES:
        for model, power in MODELS.items():
            for kind, scale in KINDS.items():
                whole = archive(draw, rate, power, scale)
                for design, quantiles in DESIGNS.items():
                    edges = np.quantile(whole.scores, quantiles)
                    samples = [drawn(draw, whole, edges) for _ in range(DRAWS)]
                    lines.append(row(f"{model} | {kind} | {design}", whole, samples))
    lines += [
        "",
        f"Root mean squared errors in points, of {LABELLED} labels of {RECORDINGS * SEGMENTS:,} "
        f"simulated segments of {RECORDINGS} recordings, over {DRAWS} samples. `judge` states the "
        "weighted mean: where strata follow the probabilities, the other two are no nearer.",
    ]
    write_section("Prevalence", "python benchmarks/judge.py", lines)


def row(kind: str, whole: Archive, samples: list[Drawn]) -> str:
    """The errors of all estimators, and what the intervals of `judge` hold."""
    true, mean = float(whole.truth.mean()), float(whole.scores.mean())
    cells = [f"{100 * true:.1f}", kind]
    for each in ESTIMATORS:
        errors = np.array([each(one, mean) - true for one in samples])
        cells.append(f"{100 * np.sqrt(np.mean(errors**2)):.2f}")
    held = []
    for one in samples:
        found = share(one.truth, one.weights, one.units)
        assert found
        assert found.low is not None
        assert found.high is not None
        held.append(found.low <= true <= found.high)
    return f"| {' | '.join(cells)} | {100 * np.mean(held):.0f} |"


if __name__ == "__main__":
    main()

"""The expected shares of the labels in an archive, for the offset and for the prior.

An archive's mean is the sum of its offset and the mean of its mixture of labels; they can be
separated only given an expected mixture (`OffsetHead.estimate`). The prior is that of a segment's
probabilities. `natural` speech is mostly neutral: offset and prior have the same share of it,
unless a checkpoint states shares of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch_ser.errors import UsageError

NATURAL, BALANCED = "natural", "balanced"
NEUTRAL = "neutral"
NATURAL_SHARES = {"offset": 0.4, "prior": 0.4}  # of neutral: docs/results.md, "The natural shares"
TOLERANCE = 1e-9
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Expectation:
    """Shares of the labels (labels,), each summing to 1."""

    text: str  # of `--expect`, in the order of the labels
    offset: Floats
    prior: Floats

    def as_record(self, labels: Sequence[str]) -> dict[str, object]:
        """For `run.json` and the tables' metadata."""
        shares = {"offset": self.offset, "prior": self.prior}
        return {"expect": self.text} | {
            name: dict(zip(labels, map(float, each.round(6)), strict=True))
            for name, each in shares.items()
        }


def default_expectation(labels: Sequence[str]) -> str:
    """`natural`, or `balanced` where no label is neutral."""
    return NATURAL if NEUTRAL in labels else BALANCED


def parse_expectation(
    text: str | None, labels: Sequence[str], natural: Mapping[str, float] = NATURAL_SHARES
) -> Expectation:
    """`--expect` for a checkpoint's labels and its natural shares of neutral.

    Raises:
        UsageError: a label that the checkpoint does not have, or shares that do not sum to 1.
    """
    text = default_expectation(labels) if text is None else text.strip()
    if text == BALANCED:
        even = np.full(len(labels), 1 / len(labels))
        return Expectation(text, even, even)
    if text == NATURAL:
        if NEUTRAL not in labels:
            raise UsageError(
                f"--expect natural: the checkpoint has no label neutral ({', '.join(labels)}); "
                "expected balanced or LABEL=SHARE,..."
            )
        each = [_all_shares({NEUTRAL: natural[name]}, labels, text) for name in ("offset", "prior")]
        return Expectation(text, *each)
    given = _parsed(text, labels)
    shares = _all_shares(given, labels, text)
    return Expectation(_as_text(given), shares, shares)


def _parsed(text: str, labels: Sequence[str]) -> dict[str, float]:
    """The given shares, in the order of the labels."""
    found: dict[str, float] = {}
    for part in text.split(","):
        label, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator:
            raise UsageError(
                f"--expect {text}: found {part.strip()!r}, expected natural, balanced or "
                "LABEL=SHARE,... such as angry=0.1,neutral=0.7"
            )
        if label not in labels:
            raise UsageError(
                f"--expect {text}: the checkpoint has no label {label!r}; it has "
                f"{', '.join(labels)}"
            )
        if label in found:
            raise UsageError(f"--expect {text}: {label} is given twice; expected each label once")
        found[label] = _share(text, label, value)
    return {label: found[label] for label in labels if label in found}


def _as_text(given: Mapping[str, float]) -> str:
    """The same text however the shares were written, so that a job may go on with them."""
    return ",".join(
        f"{label}={np.format_float_positional(share + 0.0, trim='-')}"
        for label, share in given.items()
    )


def _share(text: str, label: str, value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = float("nan")
    if not 0 <= share <= 1:
        raise UsageError(f"--expect {text}: {label}={value}: expected a share from 0 to 1")
    return share


def _all_shares(given: Mapping[str, float], labels: Sequence[str], text: str) -> Floats:
    """Shares of all labels (labels,): the given ones, the rest evenly over the others."""
    total = sum(given.values())
    others = len(labels) - len(given)
    if total > 1 + TOLERANCE or (not others and abs(total - 1) > TOLERANCE):
        expected = "1" if not others else "at most 1"
        raise UsageError(f"--expect {text}: the shares sum to {total:g}, expected {expected}")
    rest = max(0.0, 1 - total) / max(others, 1)
    shares = np.array([given.get(label, rest) for label in labels], np.float64)
    return np.asarray(shares / shares.sum())

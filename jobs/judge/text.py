"""What `judge` found, as text: `report.txt`, and what the command prints."""

import math
import textwrap
from collections.abc import Iterator
from typing import Any

WIDTH = 100
HEADLINES = {
    "uar": "UAR",
    "accuracy": "accuracy (WA)",
    "macro_f1": "macro F1",
    "calibration_error": "calibration error (ECE)",
}
NONE = "-"


def as_text(found: dict[str, Any]) -> str:
    """Notes first, then headline figures, by label, confusion, thresholds, prevalence."""
    return "\n".join(
        [
            *_about(found),
            *_headline(found),
            *_by_label(found["by_label"]),
            *_confusion(found),
            *_thresholds(found),
            *_prevalence(found),
        ]
    )


def _about(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['results']} (checkpoint {found['checkpoint']}), judged by {found['by']}"
    yield (
        f"{found['segments']:,} segments of {found['recordings']:,} recordings, labelled by "
        f"{found['annotators']:,} annotator{'s' if found['annotators'] != 1 else ''}"
    )
    agreement = found["agreement"]
    if agreement["segments"]:
        kappa = agreement["kappa"]
        stated = "not defined" if kappa is None else f"{kappa:.2f}"
        yield (
            f"annotators agree on {_percent(agreement['agreement'])} % of "
            f"{agreement['segments']:,} pairs of labels, Cohen's kappa {stated}; where they "
            "disagree, each label counts in part"
        )
    for note in found["notes"]:
        yield from textwrap.wrap(note, WIDTH, initial_indent="- ", subsequent_indent="  ")


def _headline(found: dict[str, Any]) -> Iterator[str]:
    weighted = "weighted by 1 / probability of being sampled" if found["weighted"] else "no weights"
    yield from ("", f"in percent, {weighted}", f"  {found['interval']}")
    for name, title in HEADLINES.items():
        if found["headline"]:
            yield f"  {title:<24}{_estimate(found['headline'][name])}"
    if not found["headline"]:
        yield "  no segment has a label of the checkpoint: no UAR, accuracy or calibration"


def _by_label(by_label: dict[str, Any]) -> Iterator[str]:
    yield from ("", "of the most probable label, in percent")
    yield f"{'':<16}{'precision':>9}{'recall':>22}{'labelled':>27}"
    for label, each in by_label.items():
        figures = f"{_estimate(each['precision']):<25}{_estimate(each['recall']):<25}"
        yield f"  {label:<14}{figures}{each['labelled']:>8g}"


def _confusion(found: dict[str, Any]) -> Iterator[str]:
    labels, width = found["labels"], max(9, *(len(label) + 2 for label in found["labels"]))
    yield from ("", "people (rows) and model (columns): percent of the row, weighted (segments)")
    yield " " * 16 + "".join(f"{label:>{width + 3}}" for label in labels)
    for label, row in found["confusion"]["weighted"].items():
        total, counts = sum(row.values()), found["confusion"]["segments"][label]
        if total:
            cells = (f"{100 * row[each] / total:.0f} ({counts[each]:g})" for each in labels)
            yield f"  {label:<14}" + "".join(f"{cell:>{width + 3}}" for cell in cells)


def _thresholds(found: dict[str, Any]) -> Iterator[str]:
    wanted = f"{100 * found['wanted_precision']:g}"
    yield from ("", f"threshold with a precision of {wanted} %: the lowest one that reaches it")
    for label, each in found["thresholds"].items():
        point = each["wanted"]
        if point is None:
            yield f"  {label:<14}none reaches it"
            continue
        yield (
            f"  {label:<14}p_{label} >= {_floor(point['threshold'])}: "
            f"precision {_estimate(point['precision']).strip()}, "
            f"recall {_estimate(point['recall']).strip()}, "
            f"{_percent(point['selected'])} % of the segments ({point['segments']} labelled)"
        )
    if any(each["wanted"] for each in found["thresholds"].values()):
        yield "  It was chosen on these labels, so that its precision elsewhere is rather lower."


def _prevalence(found: dict[str, Any]) -> Iterator[str]:
    where = "in the archive" if found["weighted"] else "among the labelled segments"
    yield from (
        "",
        f"prevalence {where}, in percent of the segments",
        f"{'people':>23}{'mean of p':>25}{'most probable':>17}",
    )
    for label, each in found["prevalence"].items():
        own = "".join(
            f"{NONE if each[name] is None else _percent(each[name]):>{width}}"
            for name, width in (("mean_probability", 9), ("predicted", 17))
        )
        yield f"  {label:<14}{_estimate(each):<25}{own}"


def _estimate(each: dict[str, Any] | None) -> str:
    """A share in percent, with its interval."""
    if each is None:
        return f"{NONE:>6}"
    between = "" if each["low"] is None else f" [{_percent(each['low'])}, {_percent(each['high'])}]"
    return f"{_percent(each['value']):>6}{between}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _floor(threshold: float) -> str:
    """A threshold that the same segments reach."""
    return f"{math.floor(threshold * 1e6) / 1e6:.6f}"

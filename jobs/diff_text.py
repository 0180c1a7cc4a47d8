"""`batch-ser diff` as text."""

from collections.abc import Sequence

from jobs.agreement import Agreement
from jobs.diff import Difference
from jobs.figures import one_line

UNKNOWN = "-"


def as_text(found: Difference, left: str, right: str, by: str | None) -> str:
    """Counts and agreement, the confusion, the groups, and the segments that moved most."""
    sections = [_counts(found, left, right), _confusion(found.whole)]
    if by is not None:
        sections.append(_groups(found, by))
    if found.most:
        sections.append(_most(found))
    return "\n\n".join("\n".join(each) for each in sections if each)


def _counts(found: Difference, left: str, right: str) -> list[str]:
    files, segments, whole = found.files, found.segments, found.whole
    rows = [("left", one_line(left)), ("right", one_line(right))]
    for name, counted in (("files", files), ("segments", segments)):
        only = f"{counted['left']:,} only left, {counted['right']:,} only right"
        rows.append((f"{name} in both", f"{counted['both']:,}; {only}"))
    if files["status"]:
        rows.append(("files with another status", f"{files['status']:,}"))
    rows += [
        ("same emotion", _percent(whole.agreement)),
        ("kappa", _number(whole.kappa)),
        ("mean distance", f"{_number(whole.mean_distance)} of the probabilities, from 0 to 1"),
    ]
    return _aligned([[name, text] for name, text in rows])


def _confusion(whole: Agreement) -> list[str]:
    labels = whole.labels
    if not labels:
        return []
    rows = [["left \\ right", *labels]]
    rows += [[one, *(f"{whole.pairs[one, other]:,}" for other in labels)] for one in labels]
    return _aligned(rows)


def _groups(found: Difference, by: str) -> list[str]:
    rows = [[by, "segments", "same emotion", "kappa", "mean distance"]]
    for name, each in sorted(found.groups.items()):
        figures = [_percent(each.agreement), _number(each.kappa), _number(each.mean_distance)]
        rows.append([one_line(name), f"{each.segments:,}", *figures])
    return _aligned(rows)


def _most(found: Difference) -> list[str]:
    rows = [["moved most", "channel", "start_s", "end_s", "left", "right", "distance"]]
    for each in found.most:
        times = [f"{each.start_s:.2f}", f"{each.end_s:.2f}"]
        place = [one_line(each.file), str(each.channel), *times]
        rows.append([*place, each.left, each.right, f"{each.distance:.2f}"])
    return _aligned(rows)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    padded = ([f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(each).rstrip() for each in padded]


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"

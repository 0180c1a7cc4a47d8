"""Several annotators of a segment in a manifest, such as `labels.csv`: what they agree on stays."""

import sys
from collections.abc import Collection, Hashable, Sequence
from pathlib import Path

from batch_ser.inputs import Row
from train.data.labels import known_name

ANNOTATOR = "annotator"


def agreed(
    path: Path, rows: Sequence[Row], segments: Sequence[Hashable], own_labels: Collection[str]
) -> list[Row]:
    """Rows with one annotator for each of their `segments`; those that annotators label
    differently are left out.

    Two rows of one annotator for a segment stay: they are a fault of the manifest.
    """
    by_segment: dict[Hashable, list[Row]] = {}
    for row, segment in zip(rows, segments, strict=True):
        by_segment.setdefault(segment, []).append(row)
    kept: list[Row] = []
    disputed = 0
    for own in by_segment.values():
        first = own[0].values.get(ANNOTATOR, "")
        mine = [row for row in own if row.values.get(ANNOTATOR, "") == first]
        if len(mine) < len(own) and len({_label(row, own_labels) for row in own}) > 1:
            disputed += 1
        else:
            kept += mine
    if disputed:
        print(
            f"{path}: {disputed:,} segments are left out, which annotators label differently",
            file=sys.stderr,
        )
    return sorted(kept, key=lambda row: row.number)


def _label(row: Row, own_labels: Collection[str]) -> str:
    written = row.values["label"]
    return known_name(written, own_labels) or written.strip().casefold()

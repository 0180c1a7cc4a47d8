"""The time line of one call, compact: who speaks, interrupts, is silent, and each segment's score.

Times are whole tenths of a second, probabilities whole percent: a segment takes about 20 bytes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from batch_ser.calls import (
    ANGRY,
    CallTable,
    Conversation,
    PartySegments,
    regions_by_party,
    rows_of,
)

PER_S = 10
JOINED_S = 0.4  # pauses that are not visible


def time_line(
    file: Mapping[str, Any], segments: pa.Table | None, speech: pa.Table | None, table: CallTable
) -> dict[str, Any]:
    """Of a recording, by its rows in the files, segments and speech table.

    Lists of numbers: `speech` and `interruptions` of each party and `silence` are starts and
    lengths; `segments` start, length, number of the label, and percent of it, of the negative
    labels together, and of anger (-1: no such label).
    """
    parties = table.channels.parties(file, segments, speech)
    names = list(dict.fromkeys(parties.values()))
    found: dict[str, Any] = {"length": round((file["duration_s"] or 0.0) * PER_S)}
    if file["speech_s"] is not None:
        talk = Conversation.of(regions_by_party(speech, parties))
        found["speech"] = {name: _flat(_joined(talk.speech[name])) for name in names}
        found["silence"] = _flat(talk.non_talk)
        if len(names) > 1:
            found["interruptions"] = {name: _flat(talk.interruptions(name)) for name in names}
    scored = {
        name: _segments(PartySegments.of(mine, table.scale.labels), table)
        for name in names
        if table.score in (None, name) and (mine := rows_of(name, parties, segments)) is not None
    }
    return found | {"segments": scored}


def _segments(found: PartySegments, table: CallTable) -> list[int]:
    scale, p = table.scale, found.probabilities
    angry = p[:, scale.labels.index(ANGRY)] * 100 if ANGRY in scale.labels else np.full(len(p), -1)
    columns = (
        found.starts_s * PER_S,
        found.durations_s * PER_S,
        p.argmax(1),
        p.max(1) * 100,
        scale.share(p, scale.negative) * 100,
        angry,
    )
    flat: list[int] = np.rint(np.stack(columns, axis=1)).astype(int).ravel().tolist()
    return flat


def _joined(regions: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for start, end in regions:
        if found and start - found[-1][1] < JOINED_S:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _flat(regions: Iterable[tuple[float, float]]) -> list[int]:
    return [
        round(each * PER_S) for start, end in regions for each in (start, max(end - start, 0.1))
    ]

"""An overview of labelled recordings, as `--show` prints it."""

from collections.abc import Iterable

import pandas as pd

from batch_ser.errors import FileError
from train.data.utterances import Utterance, length_s, listed


def overview(utterances: Iterable[Utterance]) -> str:
    """Lengths, and counts by label, sex, language, speaker and more, as text.

    Raises:
        UsageError: recordings that cannot be opened, all listed.
    """
    table = pd.DataFrame(_described(utterances))
    lengths, speakers = table["seconds"], table["speaker"]
    known = speakers[speakers != "unknown"].nunique()
    lines = [
        f"{len(table)} recordings, {lengths.sum() / 3600:.2f} h, {known or 'unknown'} speakers; "
        f"{lengths.min():.2f} to {lengths.max():.2f} s, median {lengths.median():.2f} s"
    ]
    for column in ("corpus", "style", "split"):
        if table[column].nunique() == 1:
            table = table.drop(columns=column)
    for column in table.columns.drop("seconds"):
        counts = table[column].value_counts().sort_index()
        lines.append(f"{column}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    if "corpus" in table:
        lines += ["", pd.crosstab(table["label"], table["corpus"]).to_string()]
    return "\n".join(lines)


def _described(utterances: Iterable[Utterance]) -> list[dict[str, str | float]]:
    """A row for each utterance; the columns are the overview's lines, in their order."""
    rows: list[dict[str, str | float]] = []
    faults = []
    for each in utterances:
        described = {
            "label": each.label,
            "sex": each.sex,
            "language": each.language,
            "intensity": each.intensity,
            "style": each.style,
            "split": each.side,
            "corpus": each.corpus,
            "speaker": each.speaker,
        }
        try:
            seconds = _seconds(each)
        except FileError as error:
            faults.append(f"{each.path}: {error}")
            continue
        rows.append({name: value or "unknown" for name, value in described.items()})
        rows[-1]["seconds"] = seconds
    if faults:
        raise listed("these recordings cannot be opened; fix them or take them out", faults)
    return rows


def _seconds(utterance: Utterance) -> float:
    end_s = length_s(utterance.path) if utterance.end_s is None else utterance.end_s
    return end_s - (utterance.start_s or 0.0)

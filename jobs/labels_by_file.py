"""Labels of a file, by the recordings of an output."""

from collections import Counter
from pathlib import Path

from batch_ser.labels import Label, Problem, RecordingNames, placed, read_labels


def labels_by_file(
    path: Path, names: RecordingNames
) -> tuple[dict[str, list[Label]], Counter[str]]:
    """Labels by the name of their recording, and how many belong to none, by reason.

    Raises:
        UsageError: the file cannot be read.
    """
    by_file: dict[str, list[Label]] = {}
    problems = Counter[str]()
    for each in read_labels(path):
        found = placed(each, names, None) if isinstance(each, Label) else each
        if isinstance(found, Problem):
            problems[found.reason] += 1
        else:
            by_file.setdefault(found.file, []).append(found)
    return by_file, problems

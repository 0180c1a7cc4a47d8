"""Label tracks of Audacity, beside their clips: start, end and label by tabs, in seconds.

Source: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from collections.abc import Sequence
from pathlib import Path

from jobs.sample.task import Task

UNANSWERED = "?"


def write_audacity(folder: Path, tasks: Sequence[Task], _: Sequence[str], __: str) -> list[str]:
    """A track for each clip, with a question mark over all of it, which is no answer.

    A predicted label that nobody has listened to would come back as an answer.
    """
    names = []
    for task in tasks:
        name = f"{task.clip.removesuffix('.wav')}.txt"
        line = f"{0:.6f}\t{task.length_s:.6f}\t{UNANSWERED}\n"
        (folder / name).write_text(line, encoding="utf-8")
        names.append(name)
    return names

"""What figures of a checkpoint are worth: sentences of its card."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from batch_ser.results import RunRecord
from jobs.run_config import WORKING_FOLDER
from models.loading import DIRECTORY, SHIPPED, digest_of, shipped_checkpoints

PURPOSE = "## What it is for, and what not\n\n"
EXPECTED = "## What to expect\n\n"
UNKNOWN = (
    "It is not at hand, so how good the scores are is not known here. They rank how an emotion is "
    "expressed, not whether it is felt. Do not decide anything about a single person by them."
)
FIGURES = (
    "Its card states, for recordings that were not in its training: {figures}. UAR is the mean, "
    "over the labels, of the share of their recordings that are recognised."
)


def worth_of(record: RunRecord) -> list[str]:
    """Sentences from the card of the checkpoint that made an output, or that there is none."""
    return _worth(_candidates(record), record.checkpoint.sha256)


def worth_of_model(model: str, sha256: str) -> list[str]:
    """The same of the checkpoint that `--model` names."""
    shipped = (SHIPPED / f"{name}.safetensors" for name in shipped_checkpoints())
    return _worth(chain([Path(model)], shipped), sha256)


def _worth(candidates: Iterable[Path], sha256: str) -> list[str]:
    for path in candidates:
        if path.is_file() and digest_of(path) == sha256:
            text = _card(path.with_suffix(".md"))
            found = [_paragraph(text, PURPOSE), _figures(text)]
            if found[0]:
                return [each for each in found if each]
    return [UNKNOWN]


def _candidates(record: RunRecord) -> Iterator[Path]:
    """Checkpoints that may be the one of an output: as it was given, or one of the package."""
    model = str(record.configuration.get("model", ""))
    if not model.startswith(DIRECTORY):
        yield Path(str(record.configuration.get(WORKING_FOLDER, "")), model)
    for name in shipped_checkpoints():
        yield SHIPPED / f"{name}.safetensors"


def _card(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _paragraph(card: str, heading: str) -> str:
    """The first paragraph of a section, as one line."""
    return " ".join(card.partition(heading)[2].partition("\n\n")[0].split())


def _figures(card: str) -> str:
    """A sentence with the first table of the section of figures: a UAR for each kind of test."""
    _, _, section = card.partition(EXPECTED)
    table = section.partition("\n| | UAR |\n")[2].partition("\n\n")[0]
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines()[1:]
    ]
    found = [f"UAR {row[1]} ({row[0]})" for row in rows if len(row) == 2]
    return FIGURES.format(figures="; ".join(found)) if found else ""

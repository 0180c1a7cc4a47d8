"""`batch-ser judge`: how good an output is by labels of people, as text, figures and pictures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_ser.errors import MismatchError, UsageError
from batch_ser.storage import is_store
from jobs.judge.judged import Judged, read_judged
from jobs.judge.measuring import confusion, measure, reliability_bins
from jobs.judge.text import as_text
from jobs.judge.thresholds import curve
from jobs.recovery import storage_errors
from jobs.scored_segments import ScoredSegments
from train.evaluation import plots

FILES = ("report.txt", "metrics.json", "confusion.png", "reliability.png", "thresholds.png")
ENDING = ".judge"


@dataclass(frozen=True)
class JudgeReport:
    """What was found, and where it was written."""

    metrics: dict[str, Any]
    folder: Path

    def as_text(self) -> str:
        """The report, and the folder."""
        return f"{as_text(self.metrics)}\n\nwritten to {self.folder}/: {', '.join(FILES)}"


def judge(out: str, labels: str, dest: str | None = None, precision: float = 0.8) -> JudgeReport:
    """Compare a complete output with labels, and write the files of `FILES`.

    Raises:
        UsageError: labels that cannot be read, of which none fits, or a precision out of range.
        MismatchError: there is no complete output, or the folder holds other files.
        Incomplete: the files cannot be written.
    """
    if not 0 < precision <= 1:
        raise UsageError(f"--precision {precision:g}: expected a share above 0 and up to 1")
    folder, path = _folder(out, dest), Path(labels)
    scored = ScoredSegments.of(out)
    judged = read_judged(scored, path)
    record = scored.output.run_record()
    assert record, "the output is complete"
    about = {"results": out, "checkpoint": record.checkpoint.name, "by": labels}
    found = about | measure(judged, precision)
    with storage_errors(scored.output):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(as_text(found) + "\n", encoding="utf-8")
        (folder / "metrics.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        _draw(folder, judged, precision)
    return JudgeReport(found, folder)


def _folder(out: str, dest: str | None) -> Path:
    """Where the files go.

    Raises:
        UsageError: there is no folder beside an output in an object store.
        MismatchError: something else is there.
    """
    if dest is None and is_store(out):
        raise UsageError(f"{out}: expected a folder of this machine for the report (--dest FOLDER)")
    if dest is not None and is_store(dest):
        raise UsageError(f"--dest {dest}: expected a folder of this machine")
    own = Path(out.rstrip("/"))
    folder = Path(dest) if dest else own.with_name(f"{own.name.removesuffix('.parquet')}{ENDING}")
    if folder.exists() and not folder.is_dir():
        raise MismatchError(f"--dest {folder} is a file; expected a folder")
    present = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    if others := present - set(FILES):
        raise MismatchError(
            f"--dest {folder}: found {min(others)}, expected a new folder or one of this command"
        )
    return folder


def _draw(folder: Path, judged: Judged, precision: float) -> None:
    present = [number for number, total in enumerate(judged.truth.sum(0)) if total]
    rows = [judged.all_labels[number] for number in present]
    weighted, counts = (confusion(judged, weighted=each)[present] for each in (True, False))
    plots.confusion_of(folder / "confusion.png", weighted, counts, rows, judged.labels)
    counted = "weight" if judged.is_weighted else "segments"
    plots.reliability(folder / "reliability.png", reliability_bins(judged), counted)
    carried = [number for number in present if number < len(judged.labels)]
    curves = {judged.labels[number]: curve(judged, number)[:, :3] for number in carried}
    plots.thresholds(folder / "thresholds.png", curves, precision)

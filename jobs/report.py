"""What a run has to say at its end: a table for people, the same as JSON, the exit status."""

from dataclasses import dataclass
from typing import Any

from batch_ser.errors import UsageError
from batch_ser.results import EMPTY, FAILED, OK, SUMS
from jobs.progress import duration

COMPLETE, TOO_MANY_FAILED = 0, 3


@dataclass(frozen=True)
class RunReport:
    """The record of a complete run (`run.json`) and what this call of it did."""

    record: dict[str, Any]
    max_failed: str

    @property
    def exit_code(self) -> int:
        """0, or 3 when more files failed than `--max-failed` allows."""
        files = self.record["counts"]["files"]
        within = files.get(FAILED, 0) <= budget(self.max_failed, sum(files.values()))
        return COMPLETE if within else TOO_MANY_FAILED

    @property
    def nothing_found(self) -> str:
        """Why there were no inputs at all."""
        ignored, inputs = self.record["listing"]["ignored"], self.record["configuration"]["inputs"]
        if not ignored and all(each.lower().endswith(".csv") for each in inputs):
            return f"the manifest lists nothing: {', '.join(inputs)} has a header and no lines"
        return (
            f"no recordings found; {ignored:,} files were passed over by their names "
            "(--include '*' takes every file)"
        )

    def as_text(self) -> str:
        """The closing table."""
        sections = [_files(self.record), _time(self.record), _emotions(self.record)]
        sections += [_stages(self.record), _equations(self.record), _about(self.record)]
        lines = [line for section in sections for line in section]
        width = max(len(name) for name, _ in lines)
        return "\n".join(f"{name:<{width}}  {text}".rstrip() for name, text in lines)


def budget(max_failed: str, files: int) -> float:
    """How many files may fail: a number, or a percentage of all files.

    Raises:
        UsageError: neither.
    """
    try:
        number = float(max_failed.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise UsageError(f"--max-failed {max_failed}: expected a number, or one with %, such as 2%")
    return files * number / 100 if max_failed.endswith("%") else number


Lines = list[tuple[str, str]]


def _files(record: dict[str, Any]) -> Lines:
    counts = record["counts"]
    lines = [("files", f"{counts['files_in']:,}")]
    for status in (OK, EMPTY, FAILED):
        lines.append((f"  {status}", f"{counts['files'].get(status, 0):,}"))
        if status == FAILED:
            reasons = sorted(counts["reasons"].items(), key=lambda item: -item[1])
            lines += [(f"    {reason}", f"{count:,}") for reason, count in reasons]
    for note, count in counts["notes"].items():
        lines.append((f"  {note}", f"{count:,}"))
    if record["listing"]["ignored"]:
        lines.append(("  ignored", f"{record['listing']['ignored']:,} (no audio by their names)"))
    return lines


def _time(record: dict[str, Any]) -> Lines:
    seconds, last = record["counts"]["seconds"], record["last_run"]
    lines = [("hours of recordings", f"{seconds['duration_s'] / 3600:.3f}")]
    if last["audio_s"]:
        speed = last["audio_s"] / max(last["wall_s"], 1e-9)
        done = f"{last['audio_s'] / 3600:.3f} h in {duration(last['wall_s'])}"
        memory = f"{last['peak_worker_bytes'] / 1e6:.0f} MB at most in a worker"
        lines.append(("last run", f"{done}, {speed:.0f} x real time, {memory}"))
    return lines


def _emotions(record: dict[str, Any]) -> Lines:
    emotions = record["counts"]["emotions"]
    lines = [("segments", f"{record['counts']['segments']:,}")]
    ordered = sorted(emotions.items(), key=lambda item: -item[1])
    return lines + [(f"  {emotion}", f"{count:,}") for emotion, count in ordered]


def _stages(record: dict[str, Any]) -> Lines:
    stages = record["last_run"]["stage_s"]
    if not stages:
        return []
    total = sum(stages.values())
    return [("seconds per stage", f"{total:.1f} (summed over workers)")] + [
        (f"  {stage}", f"{seconds:.1f} ({100 * seconds / total:.0f} %)")
        for stage, seconds in stages.items()
    ]


def _equations(record: dict[str, Any]) -> Lines:
    counts = record["counts"]
    files = [f"{counts['files'].get(status, 0):,} {status}" for status in (OK, EMPTY, FAILED)]
    kinds = [f"{counts['seconds'][name]:.1f} {name[:-2].replace('_', ' ')}" for name in SUMS[1:5]]
    return [
        ("closed: files", f"{counts['files_in']:,} in = {' + '.join(files)}"),
        ("closed: seconds", f"{counts['seconds']['decoded_s']:.1f} decoded = {' + '.join(kinds)}"),
    ]


def _about(record: dict[str, Any]) -> Lines:
    checkpoint = record["checkpoint"]
    asked = record["configuration"]
    adapted = "none: the checkpoint has no offset head"
    if asked.get("expect"):
        adapted = f"{asked['adapt']}, expecting {asked['expect']}"
    return [
        ("adapted", adapted),
        ("checkpoint", f"{checkpoint['name']} ({checkpoint['sha256'][:12]})"),
        ("licence", checkpoint["licence"]),
    ]

"""Exported checkpoints beside the checkpoints themselves: size, speed, scores.

`python benchmarks/exports.py` writes the section "ONNX" of docs/results.md, in some minutes; it
needs the extra `onnx`, and RAVDESS below BATCH_SER_SHARED.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from results import SHARED, write_section

from batch_ser.audio import Samples, load
from models import Checkpoint, load_checkpoint
from models.batching import consecutive
from models.loading import SHIPPED, shipped_checkpoints
from models.onnx_export import export_onnx
from train.metrics import scores

EVERY = 4  # of the 1,440 recordings: 360
TOGETHER = 60  # recordings, of 220 s: about as many as a worker of `run` sorts by length at once
EXPECT = "balanced"
LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


@dataclass
class Measured:
    """One file of a checkpoint, and what came of the recordings."""

    checkpoint: Checkpoint
    size_bytes: int
    cpu_s: float = 0.0
    probabilities: list[NDArray[Any]] = field(default_factory=list)

    def add(self, recordings: Sequence[Samples]) -> None:
        started = time.process_time()  # of this process: other programs do not count
        self.probabilities += list(self.checkpoint.score_all(recordings, expect=EXPECT))
        self.cpu_s += time.process_time() - started


def ways(name: str, folder: Path) -> dict[str, Measured]:
    """The checkpoint itself, and both exports."""
    size = (SHIPPED / f"{name}.safetensors").stat().st_size
    found = {"torch": Measured(load_checkpoint(name), size)}
    for way, int8 in (("ONNX", False), ("ONNX, int8", True)):
        done = export_onnx(name, folder / f"{name}{int8}.onnx", int8=int8)
        found[way] = Measured(load_checkpoint(done.path), done.size_bytes)
    return found


def rows(
    name: str, each: dict[str, Measured], truth: list[str], labels: list[str], hours: float
) -> list[str]:
    """A row of the table for each file."""
    expected = np.array(each["torch"].probabilities)
    found = []
    for way, measured in each.items():
        probabilities = np.array(measured.probabilities)
        difference = np.abs(probabilities - expected)
        best = probabilities.argmax(1)
        uar = scores(truth, [labels[one] for one in best])["UAR"]
        same = float((best == expected.argmax(1)).mean())
        found.append(
            f"| {name}, {way} | {measured.size_bytes / 1e6:.1f} | {measured.cpu_s / hours:.1f} "
            f"| {each['torch'].cpu_s / measured.cpu_s:.2f} | {difference.max():.1g} "
            f"| {difference.mean():.1g} | {100 * same:.1f} | {100 * uar:.1f} |"
        )
    return found


def main() -> None:
    torch.set_num_threads(1)
    files = sorted((SHARED / "data" / "ravdess").glob("Actor_*/*.*"))[::EVERY]
    if not files:
        sys.exit(f"no RAVDESS at {SHARED}: set BATCH_SER_SHARED")
    recordings = [load(str(path), 16_000) for path in files]
    truth = [LABELS[int(path.stem.split("-")[2]) - 1] for path in files]
    hours = sum(map(len, recordings)) / 16_000 / 3600
    lines = [
        "| | MB | core-seconds an hour of audio | speed, torch = 1 | probability: largest "
        "difference | mean difference | same label, % | UAR, % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in shipped_checkpoints():
            each = ways(name, Path(folder))
            for group in consecutive(len(recordings), TOGETHER):
                for measured in each.values():
                    measured.add(recordings[group])
            labels = list(each["torch"].checkpoint.info.labels)
            lines += rows(name, each, truth, labels, hours)
    lines += [
        "",
        f"{len(files)} recordings of RAVDESS ({hours:.2f} h) whole, {TOGETHER} at a time, on one "
        "thread, each by all three in turn, as `run --model` scores them: the checkpoint in "
        "batches of similar length, the ONNX files segment by segment. Seconds of the processor, "
        "front end included, decoding and the detection of speech not. Balanced labels, the usual "
        "offset. The checkpoints were trained on RAVDESS: these figures of UAR are there for the "
        "difference alone. The files of the package hold most weights in float16, ONNX in float32.",
    ]
    write_section("ONNX", "python benchmarks/exports.py", lines)


if __name__ == "__main__":
    main()

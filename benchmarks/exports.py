"""Exported checkpoints beside the checkpoints themselves: size, speed, scores.

`python benchmarks/exports.py` writes the section "ONNX" of docs/results.md, in some minutes; it
needs the extra `onnx`, and RAVDESS below BATCH_SER_SHARED.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from results import SHARED, write_section

from batch_ser.audio import Samples, load
from models import load_checkpoint
from models.loading import SHIPPED, shipped_checkpoints
from models.onnx_export import export_onnx, padded
from train.metrics import scores

EVERY = 4  # of the 1,440 recordings: 360
EXPECT = "balanced"
LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
Score = Callable[[Samples], NDArray[Any]]


@dataclass
class Measured:
    """One way to score: its file, and what came of the recordings."""

    score: Score
    size_bytes: int
    seconds: list[float] = field(default_factory=list)
    probabilities: list[NDArray[Any]] = field(default_factory=list)

    def add(self, samples: Samples) -> None:
        started = time.process_time()  # of this process: other programs do not count
        found = self.score(samples)
        self.seconds.append(time.process_time() - started)
        self.probabilities.append(found)


def exported(path: Path) -> Score:
    """Score by an ONNX file, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    return lambda samples: session.run(["probabilities"], padded([samples]))[0][0]


def ways(name: str, folder: Path) -> dict[str, Measured]:
    """The checkpoint itself, and both exports."""
    checkpoint = load_checkpoint(name)
    size = (SHIPPED / f"{name}.safetensors").stat().st_size
    found = {"torch": Measured(lambda one: checkpoint.score_all([one], expect=EXPECT)[0], size)}
    for way, int8 in (("ONNX", False), ("ONNX, int8", True)):
        done = export_onnx(name, folder / f"{name}{int8}.onnx", int8=int8, expect=EXPECT)
        found[way] = Measured(exported(done.path), done.size_bytes)
    return found


def rows(name: str, each: dict[str, Measured], truth: list[str], labels: list[str]) -> list[str]:
    """A row of the table for each way to score."""
    torch_way = each["torch"]
    expected = np.array(torch_way.probabilities)
    found = []
    for way, measured in each.items():
        ratio = sum(torch_way.seconds) / sum(measured.seconds)
        probabilities = np.array(measured.probabilities)
        difference = np.abs(probabilities - expected)
        best = probabilities.argmax(1)
        uar = scores(truth, [labels[one] for one in best])["UAR"]
        same = float((best == expected.argmax(1)).mean())
        found.append(
            f"| {name}, {way} | {measured.size_bytes / 1e6:.1f} | {ratio:.2f} "
            f"| {difference.max():.1g} | {difference.mean():.1g} | {100 * same:.1f} "
            f"| {100 * uar:.1f} |"
        )
    return found


def main() -> None:
    torch.set_num_threads(1)
    files = sorted((SHARED / "data" / "ravdess").glob("Actor_*/*.*"))[::EVERY]
    if not files:
        sys.exit(f"no RAVDESS at {SHARED}: set BATCH_SER_SHARED")
    recordings = [load(str(path), 16_000) for path in files]
    truth = [LABELS[int(path.stem.split("-")[2]) - 1] for path in files]
    lines = [
        "| | MB | speed, torch = 1 | probability: largest difference | mean difference "
        "| same label, % | UAR, % |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in shipped_checkpoints():
            each = ways(name, Path(folder))
            for samples in recordings:
                for measured in each.values():
                    measured.add(samples)
            lines += rows(name, each, truth, list(load_checkpoint(name).info.labels))
    hours = sum(map(len, recordings)) / 16_000 / 3600
    lines += [
        "",
        f"{len(files)} recordings of RAVDESS ({hours:.2f} h) whole, one after the other, on one "
        "thread, each by all three in turn; seconds of the processor, front end included. Balanced "
        "labels, the usual offset. The checkpoints were trained on RAVDESS: these figures of UAR "
        "are there for the difference alone. The files of the package hold most weights in "
        "float16, ONNX in float32.",
    ]
    write_section("ONNX", "python benchmarks/exports.py", lines)


if __name__ == "__main__":
    main()

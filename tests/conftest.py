"""What the tests share: real short recordings, a small checkpoint with random weights, a runner."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from batch_ser.audio import Samples, load
from jobs import RunConfig, run
from models.checkpoint import CheckpointInfo, save_checkpoint
from models.whisper import WhisperClassifier

REPOSITORY = Path(__file__).parent.parent
PROGRAM = Path(sys.executable).with_name("batch-ser")
Runner = Callable[..., "subprocess.CompletedProcess[str]"]
SMALL = {"taps": (1, 2), "layers": 2, "d_model": 32, "heads": 2}
LABELS = ("neutral", "happy", "sad", "angry")


@pytest.fixture(scope="session")
def calls() -> Path:
    """The example calls: real telephone speech."""
    return REPOSITORY / "examples" / "calls"


@pytest.fixture(scope="session")
def speech(calls: Path) -> Samples:
    """29 s of real speech with pauses, 16 kHz mono."""
    return load(str(calls / "announcement.opus"), 16_000)


@pytest.fixture(scope="session")
def checkpoint_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small whisper checkpoint with random weights: fast, and as sensitive as a trained one."""
    torch.manual_seed(1)
    network = WhisperClassifier(len(LABELS), **SMALL)
    info = CheckpointInfo(
        name="small",
        architecture="whisper",
        settings=dict(SMALL),
        labels=LABELS,
        front_end="whisper_log_mel",
        rate_hz=16_000,
        max_input_s=30.0,
        licence="none: random weights",
    )
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(path, info, network)
    return path


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """Twenty good files in folders: real speech cut to lengths from 0.7 to 6 s, two rates."""
    root = tmp_path_factory.mktemp("archive")
    lengths_s = np.linspace(0.7, 6.0, 20)
    for number, length_s in enumerate(lengths_s):
        folder = root / f"day{number % 3}"
        folder.mkdir(exist_ok=True)
        start = number * 16_000
        samples = speech[start : start + round(length_s * 16_000)]
        ending = "flac" if number % 2 else "wav"
        soundfile.write(folder / f"call{number:02}.{ending}", samples, 16_000)
    (root / "notes.txt").write_text("no audio")
    (root / ".hidden.wav").write_bytes(b"")
    return root


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with corpora, weights and folds; tests that need it are skipped without it."""
    folder = Path(os.environ.get("BATCH_SER_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data" / "ravdess").is_dir():
        pytest.skip(f"no corpora at {folder}: set BATCH_SER_SHARED")
    return folder


@pytest.fixture
def batch_ser(tmp_path: Path) -> Runner:
    """Run the installed program in an empty folder; gives its status and what it printed."""

    def run(*arguments: object, cwd: Path = tmp_path) -> "subprocess.CompletedProcess[str]":
        command = [str(PROGRAM), *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False
        )

    return run


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, archive: Path, checkpoint_path: Path) -> Path:
    """The tables of a calm run over the archive, segments of speech."""
    out = tmp_path_factory.mktemp("calm") / "results.parquet"
    run(RunConfig((str(archive),), str(out), str(checkpoint_path), engine="inline"))
    return out

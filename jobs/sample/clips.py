"""Clips of tasks: the segment's own samples, at the recording's rate, as WAV of 16 bits."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import soundfile

from batch_ser.audio import MIXED, Excerpt, Excerpts, Reading, Samples
from batch_ser.errors import FileError, Incomplete, Reason
from batch_ser.inputs import BelowRoot
from jobs.recordings import Unreadable, from_recordings, reading_of
from jobs.sample.task import Task
from train.progress import counted

CLIPS = "clips"  # the folder of the clips
UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
MOST_LETTERS = 60  # of a recording's name
DIGEST_BYTES = 8
FULL_SCALE = 32_768  # of 16 bits: samples of 16-bit recordings come back as they were


def clip_name(task: Task) -> str:
    """A name from the recording, a digest of the segment, its channel and its start.

    It is safe on any file system, and unlike that of any other segment.
    """
    recording = UNSAFE.sub("_", PurePosixPath(task.file).stem)[:MOST_LETTERS].strip("_-")
    identity = f"{task.file}\0{task.channel}\0{task.segment}".encode()
    digest = hashlib.blake2b(identity, digest_size=DIGEST_BYTES).hexdigest()
    channel = "mix" if task.channel == MIXED else f"ch{task.channel}"
    return f"{CLIPS}/{recording or 'recording'}-{digest}-{channel}-{task.start_s:09.3f}s.wav"


@dataclass
class MadeClips:
    """Tasks with their clips, in order, and why others have none, by recording."""

    tasks: list[Task]
    missing: dict[str, str] = field(default_factory=dict)  # the first reason of each recording


def make_clips(
    root: BelowRoot,
    tasks: Sequence[Task],
    sizes: Mapping[str, int],
    configuration: Mapping[str, Any],
    folder: Path,
) -> MadeClips:
    """Write a clip of each task below a folder; `sizes` are those of the scored files, in bytes.

    Raises:
        Incomplete: a clip, or a copy of a recording, cannot be written.
    """
    of_files: dict[str, list[Task]] = {}
    for task in tasks:
        of_files.setdefault(task.file, []).append(task)
    reading = reading_of(configuration)
    reasons: dict[Task, str] = {}

    def clips_of(name: str, path: str) -> list[str]:
        return _write(path, reading, of_files[name], folder)

    (folder / CLIPS).mkdir(exist_ok=True)
    found = from_recordings(root, {name: sizes[name] for name in of_files}, clips_of)
    for name, faults in counted(found, "clips", len(of_files)):
        mine = of_files[name]
        of_each = [faults.reason] * len(mine) if isinstance(faults, Unreadable) else faults
        reasons |= {task: why for task, why in zip(mine, of_each, strict=True) if why}
    made = MadeClips([replace(task, clip=clip_name(task)) for task in tasks if task not in reasons])
    for task in sorted(reasons, key=lambda task: (task.file, task.channel, task.segment)):
        made.missing.setdefault(task.file, reasons[task])
        (folder / clip_name(task)).unlink(missing_ok=True)
    return made


def _write(path: str, reading: Reading, tasks: Sequence[Task], folder: Path) -> list[str]:
    """Write the clips of one recording; returns of each task why its clip is not whole, if so."""
    wanted = [Excerpt(task.channel, task.start_s, task.end_s) for task in tasks]
    excerpts, fault = Excerpts(path, reading, wanted), ""
    written = [0] * len(tasks)
    with ExitStack() as stack:
        files: dict[int, Any] = {}
        try:
            for number, samples in excerpts.parts():
                if number not in files:
                    place = folder / clip_name(tasks[number])
                    files[number] = stack.enter_context(_opened(place, excerpts.rate_hz))
                _append(files[number], samples)
                written[number] += len(samples)
                first, last = excerpts.frames(number)
                if written[number] == last - first:
                    files[number].close()
        except FileError as error:  # clips that were whole before are good
            fault = Unreadable.of(error).reason
    early = FileError(Reason.BAD_SEGMENT, "the recording ends before the segment's end")
    lengths = [last - first for first, last in map(excerpts.frames, range(len(tasks)))]
    whole = [count == length > 0 for count, length in zip(written, lengths, strict=True)]
    return ["" if each else fault or Unreadable.of(early).reason for each in whole]


def _opened(path: Path, rate_hz: int) -> Any:
    try:
        return soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16", format="WAV")
    except soundfile.LibsndfileError as error:
        raise Incomplete(f"{path}: cannot be written: {error.error_string}") from error


def _append(file: Any, samples: Samples) -> None:
    pcm = np.rint(np.clip(samples * FULL_SCALE, -FULL_SCALE, FULL_SCALE - 1)).astype(np.int16)
    try:
        file.write(pcm)
    except soundfile.LibsndfileError as error:
        raise Incomplete(f"{file.name}: cannot be written: {error.error_string}") from error

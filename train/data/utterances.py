"""One labelled recording: what is known of it, its samples; the recordings of a folder."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import soundfile

from batch_ser.audio import MIXED, Recording, Samples, load
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs import AUDIO_SUFFIXES

ORDINARY_STYLE = "ordinary"
MOST_LISTED = 50  # faults in one message
UNKNOWN_FRAMES = 2**62  # libsndfile reports more where a header states no length


@dataclass(frozen=True)
class Utterance:
    """One labelled recording, or a given segment of one. Empty text is what is not known."""

    path: Path
    label: str
    speaker: str
    sex: str  # male or female
    language: str  # ISO 639-1, as far as the corpora here are concerned
    intensity: str = "normal"
    corpus: str = ""
    start_s: float | None = None
    end_s: float | None = None  # with a start: None is the end of the recording
    channel: int | None = None  # None: all of them, mixed
    side: str = ""  # train, valid or test, where a manifest states it
    root: Path | None = None  # the folder of --data, or of the manifest
    style: str = "speech"  # or song, or ordinary
    weight: float = 1.0  # how much it counts in a fit; a manifest states it

    @property
    def is_ordinary(self) -> bool:
        """Whether it is ordinary speech, with hardly any emotion: it serves only to train."""
        return self.style == ORDINARY_STYLE

    @property
    def key(self) -> str:
        """Its name in a benchmark's list of folds."""
        return self.path.stem

    @property
    def name(self) -> str:
        """Its name, the same wherever the data lies: `corpus:path in its folder#start-end`."""
        inside = self.path.relative_to(self.root) if self.root else Path(self.path.name)
        end_s = "" if self.end_s is None else self.end_s
        channel = "" if self.channel is None else f"[{self.channel}]"
        segment = "" if self.start_s is None else f"#{self.start_s}-{end_s}"
        return f"{self.corpus}:{inside.as_posix()}{channel}{segment}"


def recordings(folder: Path) -> list[Path]:
    """The audio files below a folder, in order, without hidden ones (macOS adds `._x` to each)."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_dir()
    )


def parse_ordinary(path: Path) -> Utterance:
    """A recording of ordinary speech, whatever its name is: neutral, of an unknown speaker."""
    return Utterance(path, "neutral", "", "", "", style=ORDINARY_STYLE)


def read_ordinary(folder: Path, earlier: Collection[str]) -> list[Utterance]:
    """All recordings of a folder, where a sub-folder is a speaker; `earlier` are the corpora of
    other `--data`.

    Raises:
        UsageError: no recordings, or a corpus of this name among the earlier ones.
    """
    corpus = f"ordinary {Path(os.path.abspath(folder)).name}"
    if corpus in earlier:  # two of one name would be one corpus, and their recordings share names
        raise UsageError(
            f"--data ordinary:{folder}: another folder of ordinary speech has this name; rename "
            "one, or give a link to it under another name"
        )
    found = []
    for path in recordings(folder):
        inside = path.relative_to(folder).parts[:-1]
        speaker = f"{corpus}-{inside[0]}" if inside else ""
        found.append(replace(parse_ordinary(path), corpus=corpus, speaker=speaker, root=folder))
    if not found:
        raise UsageError(f"--data ordinary:{folder}: found no recordings there; expected some")
    return found


def length_s(path: Path) -> float:
    """The length of a recording in seconds, by its header where that states it.

    Raises:
        FileError: it cannot be opened.
    """
    return extent(path).length_s


class Extent(NamedTuple):
    """How long a recording is, and how many channels it has."""

    length_s: float
    channels: int


def extent(path: Path) -> Extent:
    """The extent of a recording, by its header where that states it.

    Raises:
        FileError: it cannot be opened.
    """
    recording = Recording(str(path))  # raises the reason where the file is no recording
    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise FileError(Reason.CORRUPT, f"the audio header is damaged: {error}") from error
    if info.frames < UNKNOWN_FRAMES:
        return Extent(float(info.duration), recording.channels)
    frames = sum(len(block) for block in recording.blocks())
    return Extent(frames / recording.rate_hz, recording.channels)


def load_utterance(utterance: Utterance, rate_hz: int) -> Samples:
    """A recording, or its given segment: one channel of it, or mixed to mono, at a rate."""
    number = MIXED if utterance.channel is None else utterance.channel
    samples = load(str(utterance.path), rate_hz, number)
    if utterance.start_s is None:
        return samples
    end = None if utterance.end_s is None else round(utterance.end_s * rate_hz)
    return samples[round(utterance.start_s * rate_hz) : end]


def listed(what: str, faults: Sequence[str], hint: str = "") -> UsageError:
    """One error that lists all faults, a line each, up to `MOST_LISTED`."""
    shown = list(faults[:MOST_LISTED])
    if len(faults) > MOST_LISTED:
        shown.append(f"and {len(faults) - MOST_LISTED} more")
    return UsageError("\n  ".join([what, *shown]) + (f"\n{hint}" if hint else ""))

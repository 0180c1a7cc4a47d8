"""Labelled corpora: file names to labels, speakers, sex and language.

To add one: a parser from a file's path to an `Utterance`, or None for a file that is not part of
the corpus, and a line in `CORPORA`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import soundfile

from batch_ser.errors import UsageError

AUDIO_SUFFIXES = (".wav", ".flac", ".opus", ".mp3", ".ogg")


@dataclass(frozen=True)
class Utterance:
    """One labelled recording; `key` is its name in a benchmark's list of folds."""

    path: Path
    label: str
    speaker: str
    sex: str
    language: str
    intensity: str = "normal"

    @property
    def key(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Corpus:
    """What is known of a corpus besides its recordings."""

    name: str
    title: str
    licence: str
    source: str
    parse: Callable[[Path], Utterance | None]


RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def parse_ravdess(path: Path) -> Utterance | None:
    """modality-channel-emotion-intensity-statement-repetition-actor; odd actors are male.

    Only speech (vocal channel 01). Source: Livingstone and Russo 2018.
    """
    fields = path.stem.split("-")
    if len(fields) != 7 or not all(field.isdigit() for field in fields) or fields[1] != "01":
        return None
    emotion, actor = int(fields[2]), int(fields[6])
    if not 1 <= emotion <= len(RAVDESS_EMOTIONS):
        return None
    return Utterance(
        path,
        RAVDESS_EMOTIONS[emotion - 1],
        f"ravdess-{actor:02}",
        "male" if actor % 2 else "female",
        "en",
        "strong" if fields[3] == "02" else "normal",
    )


CORPORA: dict[str, Corpus] = {
    "ravdess": Corpus(
        "ravdess",
        "RAVDESS, speech",
        "CC BY-NC-SA 4.0",
        "zenodo.org/records/1188976; Livingstone and Russo 2018",
        parse_ravdess,
    ),
}


def read_corpus(data: str) -> tuple[Corpus, list[Utterance]]:
    """The utterances of `KIND:PATH`, by path.

    Raises:
        UsageError: an unknown kind, no such folder, or nothing of that corpus in it.
    """
    kind, separator, folder = data.partition(":")
    if not separator or kind not in CORPORA:
        known = ", ".join(CORPORA)
        raise UsageError(f"--data {data}: expected KIND:PATH with KIND one of {known}")
    if not Path(folder).is_dir():
        raise UsageError(f"--data {data}: there is no folder {folder}")
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix in AUDIO_SUFFIXES)
    corpus = CORPORA[kind]
    utterances = [found for path in paths if (found := corpus.parse(path))]
    if not utterances:
        raise UsageError(
            f"--data {data}: none of {len(paths)} recordings there is named as in {corpus.title} "
            f"({corpus.source})"
        )
    return corpus, utterances


def overview(utterances: Iterable[Utterance]) -> str:
    """Counts by label, sex, speaker and language, and lengths, as a table for people."""
    rows = [
        {
            "label": each.label,
            "sex": each.sex,
            "speaker": each.speaker,
            "language": each.language,
            "seconds": soundfile.info(each.path).duration,
        }
        for each in utterances
    ]
    table = pd.DataFrame(rows)
    lengths = table["seconds"]
    lines = [
        f"{len(table)} recordings, {lengths.sum() / 3600:.2f} h, {table['speaker'].nunique()} "
        f"speakers; {lengths.min():.2f} to {lengths.max():.2f} s, median {lengths.median():.2f} s"
    ]
    for column in ("label", "sex", "language", "speaker"):
        counts = table[column].value_counts().sort_index()
        lines.append(f"{column}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    return "\n".join(lines)

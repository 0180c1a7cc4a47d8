"""Copies by content: the same audio under several names, as a corpus that was downloaded twice.

A copy on both sides of a split makes held-out figures too good, so copies are used once. What
counts is the decoded audio: a WAV and the FLAC made of it are the same recording.
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from batch_ser.audio import Recording
from batch_ser.errors import FileError
from train.data.corpora import CORPORA
from train.data.utterances import Utterance, listed
from train.progress import every_s

MOST_CONTRADICTIONS = 10  # copies with another label that are shown


def content_of(utterance: Utterance) -> str:
    """SHA-256 over the decoded samples, their rate and channels, and what of them is given.

    Raises:
        FileError: the recording cannot be decoded.
    """
    return _with_segment(_digest(utterance.path), utterance)


def drop_copies(utterances: Sequence[Utterance], allow: bool) -> tuple[list[Utterance], list[str]]:
    """The utterances without copies of others, and the content of each that is kept.

    Of copies, the first by name stays; `allow` keeps all. In a corpus whose names describe the
    recordings, only one of the same name is a copy: published folds count takes that the corpus
    itself has twice. How many there are, and whose labels contradict each other, goes to standard
    error.

    Raises:
        UsageError: recordings that cannot be decoded, all listed.
    """
    contents = _contents(utterances)
    first = _firsts(utterances, contents)
    kept = [i for i in range(len(utterances)) if allow or first[i] == i]
    _report(utterances, first, allow)
    return [utterances[i] for i in kept], [contents[i] for i in kept]


def _firsts(utterances: Sequence[Utterance], contents: Sequence[str]) -> list[int]:
    """What each is a copy of: the first by name of the same content, or itself."""
    originals: dict[str, list[int]] = {}
    first = list(range(len(utterances)))
    for i in sorted(range(len(utterances)), key=lambda i: utterances[i].name):
        others = originals.setdefault(contents[i], [])
        copied = [j for j in others if not _two_takes(utterances[i], utterances[j])]
        if copied:
            first[i] = copied[0]
        else:
            others.append(i)
    return first


def _two_takes(one: Utterance, other: Utterance) -> bool:
    """Whether they are two takes of one corpus, by its names for them."""
    return one.corpus in CORPORA and one.corpus == other.corpus and one.key != other.key


def _contents(utterances: Sequence[Utterance]) -> list[str]:
    """The content of each utterance; each file is decoded once, however many segments it has."""
    digests: dict[Path, str] = {}
    faults = []
    paths = dict.fromkeys(each.path for each in utterances)
    for path in tqdm(paths, desc="looking for copies", mininterval=every_s()):
        try:
            digests[path] = _digest(path)
        except FileError as error:
            faults.append(f"{path}: {error}")
    if faults:
        raise listed("these recordings cannot be decoded; fix them or take them out", faults)
    return [_with_segment(digests[each.path], each) for each in utterances]


def _digest(path: Path) -> str:
    recording = Recording(str(path))
    digest = hashlib.sha256(f"{recording.rate_hz} {recording.channels}".encode())
    for block in recording.blocks():
        digest.update(block.data)
    return digest.hexdigest()


def _with_segment(digest: str, utterance: Utterance) -> str:
    text = digest if utterance.channel is None else f"{digest} channel {utterance.channel}"
    if utterance.start_s is not None:
        text = f"{text} {utterance.start_s} {utterance.end_s}"
    return digest if text == digest else hashlib.sha256(text.encode()).hexdigest()


def _report(utterances: Sequence[Utterance], first: Sequence[int], allow: bool) -> None:
    """Print how many are copies; `first` is what each is a copy of, or itself."""
    copies = [i for i in range(len(utterances)) if first[i] != i]
    if not copies:
        return
    done = "all are kept" if allow else "kept once; --allow-duplicates keeps them"
    example = f"{utterances[copies[0]].name} of {utterances[first[copies[0]]].name}"
    lines = [
        f"copies: {len(copies):,} of {len(utterances):,} recordings are copies of others, such as "
        f"{example}: {done}"
    ]
    contradictions = [
        f"{utterances[i].name} is {utterances[i].label}, "
        f"{utterances[first[i]].name} is {utterances[first[i]].label}"
        for i in copies
        if utterances[i].label != utterances[first[i]].label
    ]
    if contradictions:
        lines.append(
            f"{len(contradictions):,} of these copies carry another label than the first by name:"
        )
        lines += [f"  {line}" for line in contradictions[:MOST_CONTRADICTIONS]]
    if len(contradictions) > MOST_CONTRADICTIONS:
        lines.append(f"  and {len(contradictions) - MOST_CONTRADICTIONS} more")
    print("\n".join(lines), file=sys.stderr)

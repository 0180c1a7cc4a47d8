"""Voices behind the speaker: who they are, and how loud.

They must not tell the network whom a fold tests: they are of other corpora, and of those the
recordings that no fold tests; where there are none, the recording itself backwards.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray

from batch_ser.audio import Samples
from train.data import Utterance

Generator = np.random.Generator
Voices = Callable[[Generator, int], Sequence[Samples]]  # so many recordings of other people
VOICES = 6
SILENT = 1e-9  # a decoder may leave 1e-34 of digital silence, whose power is none


def babblers(
    utterances: Sequence[Utterance], heard_always: NDArray[np.bool_] | None
) -> dict[str, NDArray[np.int64]]:
    """For each corpus, the recordings of the others that no fold tests.

    Not of its own: who is held out of one fold babbles in no other, and views stay the same for
    all folds.
    """
    if heard_always is None:
        return {}
    corpora = np.array([each.corpus for each in utterances])
    return {
        corpus: np.flatnonzero(heard_always & (corpora != corpus)) for corpus in np.unique(corpora)
    }


def babble(voices: Sequence[Samples], length: int, draw: Generator) -> Samples:
    """Voices at once (length,): equally loud, over and over, each from a place of its own."""
    found = np.zeros(length, np.float32)
    for voice in filter(len, voices):
        level = np.sqrt(np.mean(voice**2)) + 1e-9
        found += np.resize(np.roll(voice, int(draw.integers(len(voice)))) / level, length)
    return found


def with_noise(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    """Samples (n,) with noise (n,) that much softer; silence stays silent."""
    if min(np.abs(each).max(initial=0.0) for each in (samples, noise)) < SILENT:
        return samples
    mixed = torchaudio.functional.add_noise(
        torch.from_numpy(samples), torch.from_numpy(noise), torch.tensor(snr_db)
    )
    return np.asarray(mixed, np.float32)

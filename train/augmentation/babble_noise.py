"""Babble: other voices behind the speaker, and how loud they are.

No recording that a fold tests may be among them, or the network would train on it: they are of
other corpora, and of those the recordings that no fold tests; where there are none, the recording
itself backwards.
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
SILENT = 1e-9  # largest sample; a decoder may leave 1e-34 of digital silence, whose power is 0


def babblers(
    utterances: Sequence[Utterance], never_tested: NDArray[np.bool_] | None
) -> dict[str, NDArray[np.int64]]:
    """For each corpus, the recordings of the others that no fold tests.

    None of its own: a speaker that one fold holds out is in no other fold's babble, and views stay
    the same for all folds.
    """
    if never_tested is None:
        return {}
    corpora = np.array([each.corpus for each in utterances])
    return {
        corpus: np.flatnonzero(never_tested & (corpora != corpus)) for corpus in np.unique(corpora)
    }


def babble(voices: Sequence[Samples], length: int, draw: Generator) -> Samples:
    """Voices at once (length,): equally loud, repeated, each from a random start."""
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

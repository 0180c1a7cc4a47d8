"""Embeddings of a corpus by a frozen network, at several speeds, cached on request."""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from batch_ser import SCORES_VERSION, audio
from batch_ser.features import FRONT_ENDS
from models.whisper import WhisperClassifier
from train.corpora import Utterance

Embeddings = NDArray[np.float32]
BATCH = 8


def embed(
    network: WhisperClassifier,
    utterances: Sequence[Utterance],
    speeds: Sequence[float],
    cache: Path | None,
) -> Embeddings:
    """Embeddings (speeds, recordings, width); each recording is heard alone, as in a job."""
    weights = _digest(network)
    each = []
    for speed in speeds:
        kept = cache / f"{_key(weights, utterances, speed)}.npy" if cache else None
        if kept and kept.exists():
            each.append(np.load(kept))
            continue
        found = _embed_at(network, utterances, speed)
        each.append(found)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with kept.with_suffix(".partial").open("wb") as file:
                np.save(file, found)
            kept.with_suffix(".partial").replace(kept)
    return np.stack(each)


def _embed_at(
    network: WhisperClassifier, utterances: Sequence[Utterance], speed: float
) -> Embeddings:
    """Embeddings (recordings, width) at one speed, in batches of similar length."""
    front_end = FRONT_ENDS[network.front_end]
    order = sorted(range(len(utterances)), key=lambda i: utterances[i].path.stat().st_size)
    found: dict[int, Embeddings] = {}
    every_s = 0.5 if sys.stderr.isatty() else 60.0
    with tqdm(total=len(order), desc=f"features x{speed:g}", mininterval=every_s) as bar:
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            sounds = [_played(utterances[i].path, network.rate_hz, speed) for i in chosen]
            with torch.inference_mode():
                rows = network.embed(front_end(sounds, torch.device("cpu"))).numpy()
            found |= dict(zip(chosen, rows, strict=True))
            bar.update(len(chosen))
    return np.stack([found[i] for i in range(len(order))])


def _played(path: Path, rate_hz: int, speed: float) -> audio.Samples:
    """A recording at a rate, played at a speed (pitch and tempo together)."""
    samples = audio.load(str(path), rate_hz)
    if speed == 1.0:
        return samples
    played: audio.Samples = soxr.resample(samples, rate_hz * speed, rate_hz)
    return played


def _digest(network: WhisperClassifier) -> str:
    digest = hashlib.sha256(repr(network.settings).encode())
    for tensor in network.encoder.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _key(weights: str, utterances: Sequence[Utterance], speed: float) -> str:
    """Everything that an embedding depends on: a cache must not forget its settings."""
    files = [(str(each.path.resolve()), each.path.stat()) for each in utterances]
    listed = [(path, found.st_size, found.st_mtime_ns) for path, found in files]
    return hashlib.sha256(repr((SCORES_VERSION, weights, speed, listed)).encode()).hexdigest()[:32]

"""Embeddings of a corpus by a frozen network, at several speeds, cached on request."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from batch_ser import FEATURES_VERSION
from batch_ser.audio import Samples
from batch_ser.features import FrontEnd, front_end
from batch_ser.segments import in_pieces
from models.whisper import WhisperClassifier
from train.augmentation import played
from train.data import Utterance
from train.features.store import load_utterance
from train.progress import every_s

Embeddings = NDArray[np.float32]
BATCH = 8
AFTER_POOLING = ("shift", "scale", "head.")  # embeddings do not depend on these


def embed(
    network: WhisperClassifier,
    utterances: Sequence[Utterance],
    contents: Sequence[str],
    speeds: Sequence[float],
    front_end_settings: Mapping[str, Any],
    cache: Path,
) -> Embeddings:
    """Embeddings (speeds, recordings, width), kept in `cache` by all that they depend on."""
    settings = dict(network.front_end_settings) | dict(front_end_settings)
    hear = front_end(network.front_end, settings)
    weights = _digest(network)
    each = []
    for speed in speeds:
        what = repr((FEATURES_VERSION, weights, settings, speed, list(contents)))
        kept = cache / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.npy"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with kept.with_suffix(".partial").open("wb") as file:
                np.save(file, _embed_at(network, hear, utterances, speed))
            kept.with_suffix(".partial").replace(kept)
        each.append(np.load(kept))
    return np.stack(each)


def _embed_at(
    network: WhisperClassifier, hear: FrontEnd, utterances: Sequence[Utterance], speed: float
) -> Embeddings:
    """Embeddings (recordings, width) at one speed, in batches of similar length."""
    order = sorted(range(len(utterances)), key=lambda i: utterances[i].path.stat().st_size)
    found: dict[int, Embeddings] = {}

    def heard(utterance: Utterance) -> Samples:
        return played(load_utterance(utterance, network.rate_hz), network.rate_hz, speed)

    with tqdm(total=len(order), desc=f"features x{speed:g}", mininterval=every_s()) as bar:
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            rows = _embed_whole(network, hear, [heard(utterances[i]) for i in chosen])
            found |= dict(zip(chosen, rows, strict=True))
            bar.update(len(chosen))
    return np.stack([found[i] for i in range(len(order))])


def _embed_whole(
    network: WhisperClassifier, hear: FrontEnd, recordings: Sequence[Samples]
) -> list[Embeddings]:
    """Each recording's embedding (width,): the mean over pieces that the network takes.

    A piece counts by its new samples, as in a job: the last one overlaps the one before.
    """
    most = round(network.max_input_s * network.rate_hz)
    pieces: list[Samples] = []
    owners: list[int] = []
    new: list[int] = []
    for owner, samples in enumerate(recordings):
        spans = list(in_pieces(0, samples, most))
        heard = [span.samples for span in spans if span.samples is not None]
        pieces += heard or [samples]  # an empty segment is one empty piece
        new += [span.end - span.start for span in spans] or [1]
        owners += [owner] * (len(heard) or 1)
    rows = []
    with torch.inference_mode():
        for first in range(0, len(pieces), BATCH):  # one long recording may have many
            batch = hear(pieces[first : first + BATCH], torch.device("cpu"))
            rows.append(network.pool(network.lower(batch)).numpy())
    shares = np.array(new) / np.bincount(owners, new)[owners]
    whole = np.zeros((len(recordings), rows[0].shape[1]), np.float32)
    np.add.at(whole, owners, np.concatenate(rows) * shares[:, None].astype(np.float32))
    return list(whole)


def _digest(network: WhisperClassifier) -> str:
    digest = hashlib.sha256(repr(network.settings).encode())
    for name, tensor in network.state_dict().items():
        if not name.startswith(AFTER_POOLING):
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()

"""Embeddings of recordings by a frozen network, at several speeds, cached on disk."""

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
from models.batching import BATCH_S, Outputs, consecutive, segment_means
from models.whisper import WhisperClassifier
from train.augmentation import played
from train.data import Utterance, load_utterance
from train.progress import every_s

Embeddings = NDArray[np.float32]
AT_ONCE = 8  # recordings that are held in memory
AFTER_POOLING = ("shift", "scale", "head.")  # embeddings do not depend on these


def embed(
    network: WhisperClassifier,
    utterances: Sequence[Utterance],
    contents: Sequence[str],
    speeds: Sequence[float],
    front_end_settings: Mapping[str, Any],
    cache: Path,
) -> Embeddings:
    """Embeddings (speeds, recordings, width), cached by all that they depend on."""
    settings = dict(network.front_end_settings) | dict(front_end_settings)
    features_of = front_end(network.front_end, settings)
    weights = _digest(network)
    each = []
    for speed in speeds:
        what = repr((FEATURES_VERSION, weights, settings, speed, list(contents)))
        path = cache / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.with_suffix(".partial").open("wb") as file:
                np.save(file, _embed_at(network, features_of, utterances, speed))
            path.with_suffix(".partial").replace(path)
        each.append(np.load(path))
    return np.stack(each)


def _embed_at(
    network: WhisperClassifier, features_of: FrontEnd, utterances: Sequence[Utterance], speed: float
) -> Embeddings:
    """Embeddings (recordings, width) at one speed, in batches of similar length."""
    order = sorted(range(len(utterances)), key=lambda i: utterances[i].path.stat().st_size)
    found: dict[int, Embeddings] = {}

    def samples_of(utterance: Utterance) -> Samples:
        return played(load_utterance(utterance, network.rate_hz), network.rate_hz, speed)

    with tqdm(total=len(order), desc=f"features x{speed:g}", mininterval=every_s()) as bar:
        for part in consecutive(len(order), AT_ONCE):
            chosen = order[part]
            rows = _embed_whole(network, features_of, [samples_of(utterances[i]) for i in chosen])
            found |= dict(zip(chosen, rows, strict=True))
            bar.update(len(chosen))
    return np.stack([found[i] for i in range(len(order))])


def _embed_whole(
    network: WhisperClassifier, features_of: FrontEnd, recordings: Sequence[Samples]
) -> list[Embeddings]:
    """Each recording's embedding (width,): the mean over its pieces, as in a job."""

    def pooled(pieces: Sequence[Samples]) -> Outputs:
        with torch.inference_mode():
            features = network.forward_frozen(features_of(pieces, torch.device("cpu")))
            rows = network.pool(features).numpy()
        return np.zeros((len(rows), 0), np.float32), rows

    most, budget = (round(each * network.rate_hz) for each in (network.max_input_s, BATCH_S))
    means = segment_means(recordings, most, pooled, budget)
    return [each.embedding.astype(np.float32) for each in means]


def _digest(network: WhisperClassifier) -> str:
    digest = hashlib.sha256(repr(network.settings).encode())
    for name, tensor in network.state_dict().items():
        if not name.startswith(AFTER_POOLING):
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()

"""The metadata of a checkpoint: the training that made it."""

import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn
import torch

from batch_ser import __version__
from models.checkpoint import CheckpointInfo
from models.expectation import NATURAL_SHARES, NEUTRAL
from models.network import Network
from train.data import Data, about_corpora, licence_of
from train.recipes import Recipe
from train.splits import Fold


def checkpoint_info(
    data: Data,
    recipe: Recipe,
    fold: Fold,
    network: Network,
    labels: tuple[str, ...],
    temperature: float,
    name: str,
    encoder_corpora: Sequence[dict[str, Any]] = (),
) -> CheckpointInfo:
    """A checkpoint's metadata, but for its figures.

    `encoder_corpora` is what its pretrained encoder rests on.
    """
    used = data.chosen(list(np.flatnonzero(fold.train | fold.valid)))
    corpora = _joined(about_corpora(used), encoder_corpora)
    return CheckpointInfo(
        name=name,
        architecture=recipe.architecture,
        settings=network.stored_settings(),
        labels=labels,
        front_end=network.front_end,
        front_end_settings=dict(network.front_end_settings) | recipe.front_end,
        rate_hz=network.rate_hz,
        max_input_s=network.max_input_s,
        licence=licence_of(corpora),
        temperature=temperature,
        natural=NATURAL_SHARES if recipe.fit == "lda" and NEUTRAL in labels else {},
        segment={
            "method": "speech",
            "min_s": 0.5,
            "max_s": max(1.0, min(8.0, network.max_input_s)),
        },
        corpora=corpora,
        recipe=recipe.stored(),
        made_with=versions(),
    )


def _joined(
    own: Sequence[dict[str, Any]], of_encoder: Sequence[dict[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """What the head and what the encoder rest on; a corpus of both keeps the encoder's mark."""
    earlier = {each["name"]: each for each in of_encoder}
    joined = tuple(earlier.get(each["name"], {}) | each for each in own)
    names = {each["name"] for each in own}
    return joined + tuple(each for each in of_encoder if each["name"] not in names)


def joined_corpora(*each: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """What a moved head rests on, of several trainings; entries that are the same are one.

    Other entries of one name stay apart: `manifest:labels` may be other labels every time.
    """
    found: list[dict[str, Any]] = []
    for entry in (entry for entries in each for entry in entries):
        same = [n for n, one in enumerate(found) if _unmarked(one) == _unmarked(entry)]
        if same:
            found[same[0]] |= entry
        else:
            found.append(dict(entry))
    return tuple(found)


def _unmarked(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "encoder"}


def versions() -> dict[str, Any]:
    """Versions of the packages that determine a training."""
    return {
        "batch-ser": __version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "machine": platform.machine(),
    }

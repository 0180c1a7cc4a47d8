"""The shipped checkpoints score as when they were made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY

from batch_ser.audio.recording import load
from models import load_checkpoint
from models.loading import shipped_checkpoints

STORED = REPOSITORY / "tests" / "shipped"


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_a_shipped_checkpoint_scores_as_stored(name: str, shared: Path) -> None:
    """On a few real recordings of each corpus: within 1e-3 of the stored scores, in any batch."""
    stored: dict[str, Any] = json.loads((STORED / f"{name}.json").read_text())
    checkpoint = load_checkpoint(name)
    assert checkpoint.digest == stored["sha256"], "made again? then `make evaluate` with `ship`"
    assert list(checkpoint.info.labels) == stored["labels"]
    recordings = [load(str(shared / "data" / file), 16_000) for file in stored["recordings"]]
    expected = np.array(list(stored["recordings"].values()))
    together = checkpoint.score_all(recordings, expect="balanced")
    assert np.abs(together - expected).max() < 1e-3
    backwards = checkpoint.score_all(recordings[::-1], expect="balanced")[::-1]
    alone = np.concatenate([checkpoint.score_all([each], expect="balanced") for each in recordings])
    for other in (backwards, alone):
        assert np.abs(other - together).max() < 1e-4


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_a_shipped_checkpoint_is_far_more_accurate_than_chance(name: str) -> None:
    """With files or labels mixed up, accuracy would be a fifth or less: 0.35 of 64 recordings is
    three standard deviations above that.

    At the usual offset, that of ordinary speech, acted recordings are scored less accurately than
    with their own.
    """
    stored = json.loads((STORED / f"{name}.json").read_text())
    best = [stored["labels"][int(np.argmax(each))] for each in stored["recordings"].values()]
    assert np.mean([one == true for one, true in zip(best, stored["truth"], strict=True)]) > 0.35

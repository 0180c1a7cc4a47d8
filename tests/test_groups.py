"""Groups of recordings: means that are each group's own, and a head that hears what differs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainings import training

from batch_ser.errors import UsageError
from models.architectures import build
from models.checkpoint import read_info, read_weights
from train.groups import describe, group_means, groups_of, offsets
from train.run import train
from train.utterances import Utterance

WIDTH = 3


@given(st.lists(st.integers(-1, 4), min_size=1, max_size=30), st.integers(0, 1000))
def test_means_are_of_the_training_side_of_each_group(groups: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    of_each = np.array(groups)
    rows = np.flatnonzero(draw.random(len(groups)) < 0.7)
    embeddings = torch.from_numpy(draw.standard_normal((len(rows), WIDTH), np.float32))
    found = group_means(embeddings, rows, of_each)
    assert found.shape == (len(groups), WIDTH)
    for row, group in enumerate(groups):
        mine = of_each[rows] == group
        expected = embeddings[torch.from_numpy(mine)].mean(0) if mine.any() else torch.zeros(WIDTH)
        if group < 0:
            expected = torch.zeros(WIDTH)
        assert torch.allclose(found[row], expected, atol=1e-5)


def utterance(corpus: str, speaker: str) -> Utterance:
    return Utterance(Path("x.wav"), "happy", speaker, "", "en", corpus=corpus)


def test_a_voice_is_of_its_corpus_and_the_unknown_are_of_none() -> None:
    told = [utterance("a", "1"), utterance("b", "1"), utterance("b", ""), utterance("a", "1")]
    voices, corpora = groups_of(told)
    assert voices[0] == voices[3] != voices[1]
    assert voices[2] == -1
    assert corpora[0] == corpora[3] != corpora[1] == corpora[2]


def test_what_is_left_without_the_offsets_has_no_voice_in_it() -> None:
    """Embeddings that are a voice and a mood: after the offsets, the mood alone."""
    voice = np.repeat([0, 1, 2], 4)
    mood = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]).repeat(3, 1)
    embeddings = mood + torch.tensor([[5.0, 1.0], [-3.0, 2.0], [0.5, -9.0]])[voice]
    rows = np.arange(12)
    moved = offsets(embeddings, rows, (voice, voice), np.random.default_rng(0))
    assert torch.allclose(embeddings - moved, mood + embeddings.mean(0), atol=1e-5)
    network = build("tdnn", 2, {"channels": 4, "hidden": 2, "adapted": True})
    describe(network, embeddings, rows, (voice, voice))
    assert torch.allclose(network.centre, embeddings.mean(0))
    assert torch.allclose(network.spread, mood.std(0))


def test_a_training_leaves_both_heads(finished: Callable[[str], Path]) -> None:
    """They differ, and the checkpoint tells what training embeddings are like."""
    path = finished("accurate") / "checkpoint.safetensors"
    weights = read_weights(path)
    info = read_info(path)
    assert info.settings["adapted"]
    assert 0 < info.adapted_temperature != info.temperature  # each head has its own
    assert not torch.equal(weights["head.weight"], weights["adapted.weight"])
    assert weights["centre"].abs().max() > 0
    assert (weights["spread"] > 0).all()
    assert not torch.allclose(weights["spread"], torch.ones(()))


@pytest.mark.parametrize("sets", [("adapt=0",), ("settings.adapted=false",)])
def test_a_head_that_nothing_trains_is_refused(
    tree: Path, tmp_path: Path, inits: dict[str, str], sets: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError, match=r"settings\.adapted=true where adapt is more than 0"):
        train(training(tree, tmp_path / "run", "accurate", *sets, init=inits["accurate"]))

"""Groups of recordings: means that are each group's own."""

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.groups import groups_of, means_of, one_hot, voices_of
from train.utterances import Utterance

WIDTH = 3


@given(st.lists(st.integers(-3, 4), min_size=1, max_size=30), st.integers(0, 1000))
def test_means_are_each_group_s_own(groups: list[int], seed: int) -> None:
    numbers = np.array(groups)
    draw = np.random.default_rng(seed)
    values = torch.from_numpy(draw.standard_normal((len(groups), WIDTH), np.float32))
    found = means_of(values, numbers)
    for row, group in enumerate(groups):
        expected = values[torch.from_numpy(numbers == group)].mean(0)
        assert torch.allclose(found[row], expected, atol=1e-5)


def test_whose_voice_is_not_known_is_of_its_corpus() -> None:
    groups = np.array([0, 1, -1, -1, -1, 9]), np.array([0, 0, 0, 1, 1, 2])
    found = voices_of(groups, np.arange(5))
    assert len(set(found.tolist())) == 4  # two voices, and two corpora of others
    assert found[3] == found[4]


def utterance(corpus: str, speaker: str) -> Utterance:
    return Utterance(Path("x.wav"), "happy", speaker, "", "en", corpus=corpus)


def test_a_voice_is_of_its_corpus_and_the_unknown_are_of_none() -> None:
    told = [utterance("a", "1"), utterance("b", "1"), utterance("b", ""), utterance("a", "1")]
    voices, corpora = groups_of(told)
    assert voices[0] == voices[3] != voices[1]
    assert voices[2] == -1
    assert corpora[0] == corpora[3] != corpora[1] == corpora[2]


def test_corpora_are_those_of_the_training() -> None:
    corpora = np.array([0, 2, 1, 2, 0])
    found = one_hot(corpora, np.array([0, 1, 3]))  # the third recording's is left out
    assert found.tolist() == [[1, 0], [0, 1], [0, 0], [0, 1], [1, 0]]

"""A segment in its group: how far it is moved, and how much the second head counts."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from conftest import LABELS
from hypothesis import given
from hypothesis import strategies as st
from networks import small_checkpoint, small_network

from batch_ser.groups import Group, Scored, Sums, add_sums, group_of
from models.adapting import ALIKE, FEWEST, adapt, variety_of, weight_of
from models.checkpoint import read_info

WIDTH = 16 + 2 * 4  # what the heads hear


def made_up(counts: list[int], seed: int, labels: int = 4) -> Group:
    draw = np.random.default_rng(seed)
    return Group(
        np.array(counts, float),
        draw.standard_normal((len(counts), WIDTH)),
        draw.chisquare(3, (len(counts), WIDTH)) / 6,
        draw.dirichlet(np.ones(labels), len(counts)),
    )


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 1000))
def test_a_group_s_mean_and_variance_add_up_over_parts(keys: list[int], seed: int) -> None:
    """Whatever the parts are."""
    draw = np.random.default_rng(seed)
    scored = Scored(
        (draw.standard_normal((len(keys), 5)) * 3 + 100).astype(np.float32),
        draw.dirichlet(np.ones(4), len(keys)).astype(np.float32),
    )
    cuts = [0, *sorted(draw.integers(0, len(keys) + 1, 3)), len(keys)]
    sums: dict[object, Sums] = {}
    for start, end in pairwise(cuts):
        part = Scored(scored.embeddings[start:end], scored.probabilities[start:end])
        add_sums(sums, keys[start:end], part)
    found = group_of(sums, keys, scored)
    for row, key in enumerate(keys):
        mine = scored.embeddings[np.array(keys) == key].astype(np.float64)
        assert found.counts[row] == len(mine)
        assert np.allclose(found.embeddings[row], mine.mean(0))
        expected = mine.var(0, ddof=1) if len(mine) > 1 else np.zeros(5)
        assert np.allclose(found.variances[row], expected, atol=1e-6)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.integers(0, 1000))
def test_trust_grows_with_the_group_and_falls_with_one_emotion(
    counts: list[int], seed: int
) -> None:
    group = made_up(counts, seed)
    variety = np.random.default_rng(seed).random(len(counts))
    moved, share = weight_of(group, variety, balanced=False)
    assert ((share >= 0) & (share <= moved) & (moved < 1)).all()
    assert (moved[group.counts <= FEWEST] == 0).all()
    order = np.argsort(group.counts)
    assert (np.diff(moved[order]) >= 0).all()
    assert (share[group.probabilities.max(1) > 0.7] == 0).all()  # one emotion, or nearly
    assert (share[variety < ALIKE] == 0).all()
    assert (weight_of(group, 2 * variety, balanced=False)[1] >= share).all()


def test_variety_is_that_of_what_the_experts_say() -> None:
    """In that of a voice in training, whatever the rest of the embedding does."""
    network = small_network("whisper, adapted")
    network.spread.copy_(torch.linspace(0.5, 3, WIDTH))
    group = made_up([9, 30], seed=0)
    group.variances[:] = np.square(network.spread.numpy()) * np.array([[1.0], [0.5]])
    network.known[1, 2] = 0  # a label that one expert has never heard: of it nothing counts
    group.variances[:, network.heard_width + 6] = 1e6
    group.variances[:, : network.heard_width] = 1e6
    assert np.allclose(variety_of(network, group), [1, 0.5])


@given(st.integers(1, 30), st.integers(0, 1000), st.booleans())
def test_a_segment_depends_on_its_group_alone(count: int, seed: int, balanced: bool) -> None:
    network = small_network("whisper, adapted")
    draw = np.random.default_rng(seed)
    embeddings = draw.standard_normal((count, WIDTH)).astype(np.float32)
    probabilities = draw.dirichlet(np.ones(4), count).astype(np.float32)
    group = made_up([*draw.integers(1, 60, count)], seed)
    together = adapt(network, 1.3, embeddings, probabilities, group, balanced)
    assert np.allclose(together.sum(1), 1, atol=1e-5)
    for i in range(count):
        alone = Group(*(each[i : i + 1] for each in vars(group).values()))
        one = slice(i, i + 1)
        again = adapt(network, 1.3, embeddings[one], probabilities[one], alone, balanced)
        assert np.abs(again - together[one]).max() < 1e-5
    none = weight_of(group, variety_of(network, group), balanced)[1] == 0
    assert (together[none] == probabilities[none]).all()


@given(st.integers(0, 1000))
def test_what_a_whole_group_has_in_common_makes_no_difference(seed: int) -> None:
    """But for which experts count."""
    network = small_network("whisper, adapted")
    torch.nn.init.zeros_(network.gate.weight)
    draw = np.random.default_rng(seed)
    embeddings = draw.standard_normal((9, WIDTH)).astype(np.float32)
    voice = draw.standard_normal(WIDTH).astype(np.float32) * 5
    found = []
    for heard in (embeddings, embeddings + voice):
        mean = np.repeat(heard.mean(0)[None], 9, axis=0).astype(np.float64)
        group = Group(np.full(9, 9.0), mean, np.ones((9, WIDTH)), np.full((9, 4), 0.25))
        found.append(adapt(network, 1.0, heard, np.full((9, 4), 0.25, np.float32), group, True))
    assert np.abs(found[0] - found[1]).max() < 1e-3


def test_the_checkpoint_is_what_it_is_taken_for(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "two-heads.safetensors", "whisper, adapted", LABELS)
    assert read_info(path).settings["experts"] == 2
    assert isinstance(small_network("whisper, adapted").experts, torch.nn.Linear)

"""A linear head on a frozen network: it is the one that was fitted, on embeddings that are kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from trainings import training

from models.whisper import WhisperClassifier
from train.calibration import best_temperature
from train.copies import content_of
from train.corpora import read_data
from train.embed import embed
from train.linear import fit_head, held_out_logits, set_head
from train.recipes import RECIPES
from train.run import train

RECIPE = RECIPES["whisper-frozen"]


@pytest.mark.parametrize("labels", [2, 3])
def test_the_network_s_head_is_the_one_that_was_fitted(labels: int) -> None:
    rng = np.random.default_rng(0)
    network = WhisperClassifier(labels, **SMALL)
    width = len(network.shift)
    truth = np.arange(30) % labels
    embeddings = rng.standard_normal((1, 30, width)).astype(np.float32)
    embeddings += truth[:, None]
    head = fit_head(embeddings, truth, RECIPE)
    set_head(network, head)
    with torch.inference_mode():
        rows = torch.from_numpy(embeddings[0])
        found = network.head((rows - network.shift) * network.scale).numpy()
    assert np.allclose(found, head.logits(embeddings[0]), atol=1e-4)
    assert (found.argmax(1) == truth).all()


def test_held_out_logits_come_from_others() -> None:
    """A speaker whose labels are turned around does not teach its own head."""
    rng = np.random.default_rng(1)
    truth = np.arange(40) % 2
    embeddings = (rng.standard_normal((1, 40, 3)) * 0.1 + truth[:, None]).astype(np.float32)
    groups = [f"speaker {row // 10}" for row in range(40)]
    turned = truth.copy()
    turned[:10] = 1 - turned[:10]
    found = held_out_logits(embeddings, turned, groups, RECIPE).argmax(1)
    assert (found == truth).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_is_found_again(temperature: float) -> None:
    """Labels drawn from the probabilities of logits: these, scaled, are too sure by the scale."""
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((20_000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (rng.random((len(p), 1)) > p.cumsum(1)).sum(1)
    assert best_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.1)


def test_embeddings_are_kept_by_all_that_they_depend_on(tree: Path, tmp_path: Path) -> None:
    utterances = read_data([f"ravdess:{tree}"])[:4]
    contents = [content_of(each) for each in utterances]

    def network(**settings: object) -> WhisperClassifier:
        torch.manual_seed(0)
        return WhisperClassifier(3, **(SMALL | settings)).eval()

    def kept() -> int:
        return len(list(tmp_path.iterdir()))

    first = embed(network(), utterances, contents, (1.0, 1.1), {}, tmp_path)
    assert first.shape == (2, 4, 128)
    assert kept() == 2
    assert np.array_equal(embed(network(), utterances, contents, (1.0, 1.1), {}, tmp_path), first)
    headless = network()
    torch.nn.init.zeros_(headless.head.weight)
    embed(headless, utterances, contents, (1.1,), {}, tmp_path)
    assert kept() == 2  # they come before the head
    others = (network(taps=(1, 2), heads=4), network(pooling="attentive"))
    for number, other in enumerate(others, 3):
        assert not np.allclose(embed(other, utterances, contents, (1.0,), {}, tmp_path), first[:1])
        assert kept() == number
    moved = network(pooling="attentive")
    with torch.no_grad():
        moved.attention.score[0].weight.mul_(9)
    embed(moved, utterances, contents, (1.0,), {}, tmp_path)
    embed(network(), utterances[1:], contents[1:], (1.0,), {}, tmp_path)
    assert kept() == 6


def test_a_training_uses_kept_embeddings(tree: Path, encoder: Path, tmp_path: Path) -> None:
    def run(name: str) -> str:
        config = training(tree, tmp_path / name, "whisper-frozen", "speeds=[1, 0.9]",
                          init=str(encoder), cache=str(tmp_path / "cache"))  # fmt: skip
        return train(config).replace(name, "run")

    first = run("first")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(kept) == 2
    assert run("second") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == kept

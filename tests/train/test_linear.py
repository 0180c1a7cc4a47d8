"""A linear head on a frozen network: it is the one that was fitted, on cached embeddings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import SMALL
from sklearn.linear_model import LogisticRegression
from trainings import training

from batch_ser.audio.samples import Samples
from batch_ser.features import front_end
from models.whisper import WhisperClassifier
from train.augmentation.samples import played
from train.data.copies import content_of
from train.data.corpora import read_data
from train.data.utterances import Utterance
from train.features.embedding import embed
from train.fitting.calibration import HIGHEST, LOWEST, best_temperature
from train.fitting.linear import UNFITTED, fit_linear, held_out_logits, set_linear_head
from train.recipes.presets import RECIPES
from train.run import train

SETTINGS = RECIPES["whisper-frozen"].linear


@pytest.mark.parametrize("labels", [2, 3])
def test_the_network_s_head_is_the_one_that_was_fitted(labels: int) -> None:
    rng = np.random.default_rng(0)
    network = WhisperClassifier(labels, **SMALL)
    width = len(network.shift)
    truth = np.arange(30) % labels
    embeddings = rng.standard_normal((1, 30, width)).astype(np.float32)
    embeddings += truth[:, None]
    head = fit_linear(embeddings, truth, SETTINGS)
    set_linear_head(network, head)
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
    found = held_out_logits(embeddings, turned, groups, SETTINGS).argmax(1)
    assert (found == truth).all()


def clouds(truth: np.ndarray) -> np.ndarray:
    """Embeddings (1, n, 4) in a cluster for each label, which overlap a little."""
    rng = np.random.default_rng(3)
    centres = 2 * np.eye(4)[truth]
    return (rng.standard_normal((1, len(truth), 4)) + centres).astype(np.float32)


def test_a_label_of_one_group_leaves_the_temperature_alone() -> None:
    """Only one speaker is fearful: its held-out head does not have that label."""
    truth = np.arange(160) % 3
    groups = [f"speaker {row // 20}" for row in range(160)]
    usual = best_temperature(held_out_logits(clouds(truth), truth, groups, SETTINGS), truth)
    for lonely, others in ((3, truth), (0, truth + 1)):  # as the last label and as the first
        some = np.where(np.arange(160) < 10, lonely, others)
        found = held_out_logits(clouds(some), some, groups, SETTINGS)
        assert np.isfinite(found).all()
        assert (found[10:20, lonely] < UNFITTED / 2).all()  # the same speaker's other recordings
        assert (found[10:].argmax(1) == some[10:]).mean() > 0.7
        assert best_temperature(found, some) == pytest.approx(usual, rel=0.3)


def test_a_single_group_is_held_out_by_recordings() -> None:
    truth = np.sort(np.arange(80) % 4)  # in order, so that folds of neighbours would lack labels
    embeddings = clouds(truth)
    found = held_out_logits(embeddings, truth, ["one"] * 80, SETTINGS)
    assert (found.argmax(1) == truth).mean() > 0.7
    assert not np.allclose(found, fit_linear(embeddings, truth, SETTINGS).logits(embeddings[0]))
    assert LOWEST < best_temperature(found, truth) < HIGHEST / 2


@pytest.mark.parametrize("factor", [0.3, 1.0, 30.0])
def test_a_temperature_undoes_a_factor_of_the_logits(factor: float) -> None:
    """Heads that were fitted on few recordings are far too confident: by 20 and more."""
    draw = np.random.default_rng(5)
    logits = draw.normal(0, 2, (2000, 4))
    truth = (logits + draw.gumbel(size=logits.shape)).argmax(1)  # by their softmax
    assert best_temperature(factor * logits, truth) == pytest.approx(factor, rel=0.1)


@pytest.mark.parametrize("groups", [["one"] * 160, ["one"] * 80 + ["other"] * 80])
def test_groups_that_share_no_label(groups: list[str]) -> None:
    truth = np.arange(160) // 80
    found = held_out_logits(clouds(truth), truth, groups, SETTINGS)
    assert (found.argmax(1) == truth).mean() > 0.7


def test_too_few_recordings_to_hold_any_out() -> None:
    truth = np.arange(3)
    embeddings = clouds(truth)
    found = held_out_logits(embeddings, truth, ["a", "b", "c"], SETTINGS)
    assert np.array_equal(found, fit_linear(embeddings, truth, SETTINGS).logits(embeddings[0]))


def test_a_head_without_all_labels() -> None:
    truth = np.array([0, 2] * 10)
    head = fit_linear(clouds(truth), truth, SETTINGS, labels=4)
    found = head.logits(clouds(truth)[0])
    assert (found[:, [1, 3]] == UNFITTED).all()
    assert (found.argmax(1) == truth).mean() > 0.7
    one = fit_linear(clouds(truth[::2]), truth[::2], SETTINGS, labels=2)
    assert (one.logits(clouds(truth[::2])[0]).argmax(1) == 0).all()


def test_a_full_head_is_scikit_learn_s() -> None:
    truth = np.arange(40) % 4
    embeddings = clouds(truth)
    head = fit_linear(embeddings, truth, SETTINGS)
    rows = (embeddings[0] - head.shift) * head.scale
    expected = LogisticRegression(C=SETTINGS.regularisation, max_iter=SETTINGS.max_iterations)
    expected.fit(rows, truth)
    assert np.allclose(head.logits(embeddings[0]), expected.decision_function(rows), atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_is_found_again(temperature: float) -> None:
    """Labels drawn from the probabilities of logits: these, scaled, are too sure by the scale."""
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((20_000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (rng.random((len(p), 1)) > p.cumsum(1)).sum(1)
    assert best_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.1)


def test_embeddings_are_cached_by_all_that_they_depend_on(tree: Path, tmp_path: Path) -> None:
    utterances = read_data([f"ravdess:{tree}"])[:4]
    contents = [content_of(each) for each in utterances]

    def network(**settings: object) -> WhisperClassifier:
        torch.manual_seed(0)
        return WhisperClassifier(3, **(SMALL | settings)).eval()

    def files() -> int:
        return len(list(tmp_path.iterdir()))

    first = embed(network(), utterances, contents, (1.0, 1.1), {}, tmp_path)
    assert first.shape == (2, 4, 128)
    assert files() == 2
    assert np.array_equal(embed(network(), utterances, contents, (1.0, 1.1), {}, tmp_path), first)
    headless = network()
    torch.nn.init.zeros_(headless.head.weight)
    embed(headless, utterances, contents, (1.1,), {}, tmp_path)
    assert files() == 2  # they come before the head
    others = (network(taps=(1, 2), heads=4), network(pooling="attentive"))
    for number, other in enumerate(others, 3):
        assert not np.allclose(embed(other, utterances, contents, (1.0,), {}, tmp_path), first[:1])
        assert files() == number
    moved = network(pooling="attentive")
    with torch.no_grad():
        moved.attention.score[0].weight.mul_(9)
    embed(moved, utterances, contents, (1.0,), {}, tmp_path)
    embed(network(), utterances[1:], contents[1:], (1.0,), {}, tmp_path)
    assert files() == 6


def test_long_recordings_are_embedded_in_pieces(speech: Samples, tmp_path: Path) -> None:
    """The network takes 4 s; at speed 0.9 a recording of 3.9 s is longer than that."""
    network = WhisperClassifier(3, **SMALL, max_positions=200).eval()
    rate_hz, most = 16_000, 64_000
    utterances = []
    for number, length in enumerate((rate_hz, 62_400, most, 150_000, 12 * rate_hz)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, speech[:length], rate_hz, subtype="FLOAT")
        utterances.append(Utterance(path, "sad", "one", "male", "en"))
    utterances.append(replace(utterances[0], start_s=0.0, end_s=0.0))
    names = [str(number) for number in range(len(utterances))]
    found = embed(network, utterances, names, (1.0, 0.9), {}, tmp_path / "cache")
    features_of = front_end(network.front_end, network.front_end_settings)

    def alone(samples: Samples) -> np.ndarray:
        with torch.inference_mode():
            return network.pool(
                network.forward_frozen(features_of([samples], torch.device("cpu")))
            ).numpy()[0]

    whole = speech[:150_000]  # the last piece reaches back and counts by what is new
    parts = [alone(whole[:most]), alone(whole[most : 2 * most]), alone(whole[-most:])]
    weighted = np.average(parts, axis=0, weights=[most, most, 150_000 - 2 * most])
    assert np.allclose(found[0, 3], weighted, atol=1e-4)
    assert np.allclose(found[0, 0], alone(speech[:rate_hz]), atol=1e-4)
    assert np.allclose(found[0, 2], alone(speech[:most]), atol=1e-4)
    assert np.allclose(found[0, 5], alone(speech[:0]), atol=1e-4)
    slow = played(speech[:62_400], rate_hz, 0.9)
    assert len(slow) > most
    parts, shares = [alone(slow[:most]), alone(slow[-most:])], [most, len(slow) - most]
    assert np.allclose(found[1, 1], np.average(parts, axis=0, weights=shares), atol=1e-4)


@pytest.mark.slow
def test_a_training_uses_cached_embeddings(tree: Path, encoder: Path, tmp_path: Path) -> None:
    def run(name: str) -> str:
        config = training(
            tree,
            tmp_path / name,
            "whisper-frozen",
            "speeds=[1, 0.9]",
            init=str(encoder),
            cache=str(tmp_path / "cache"),
        )
        return train(config).replace(name, "run")

    first = run("first")
    cached = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(cached) == 2
    assert run("second") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == cached

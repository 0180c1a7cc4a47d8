"""Every architecture: size, scores, effects of its settings, saving and loading."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LABELS, Runner, cuts
from networks import NETWORKS, RAW, SMALL_WAV2VEC2, SMALL_WHISPER, small_checkpoint, small_network

from batch_ser.audio.samples import Samples
from batch_ser.errors import CheckpointError
from batch_ser.features import Features, front_end
from models import Checkpoint, load_checkpoint, parameter_count
from models.acnt import ACNT, sinusoids
from models.architectures import build

CPU = torch.device("cpu")
STRANGE = {"feature_extractor_type": "Trainer"}  # a class of transformers, but no extractor


def test_sizes_are_the_published_ones(batch_ser: Runner) -> None:
    assert parameter_count("vgg", 6) == 4_812_006
    assert parameter_count("mfcc_cnn", 8) == 2_603_144
    assert abs((parameter_count("ast") or 0) - 87e6) < 1.5e6
    assert parameter_count("hf") is None
    printed = batch_ser("models").stdout
    assert re.search(r"mfcc_cnn +2,603,144 parameters", printed)
    assert re.search(r"hf +those of its directory", printed)


@pytest.fixture(scope="module", params=NETWORKS)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    if request.param in ("ast", "hf"):
        pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    return load_checkpoint(small_checkpoint(path, request.param, LABELS))


def segments_of(speech: Samples, checkpoint: Checkpoint) -> list[Samples]:
    """Real speech, up to what the network takes."""
    most = round(checkpoint.info.max_input_s * checkpoint.info.rate_hz)
    return [each[:most] for each in cuts(speech)]


def test_a_saved_network_scores_the_same(checkpoint: Checkpoint, speech: Samples) -> None:
    network = small_network(checkpoint.info.name)
    segments = segments_of(speech, checkpoint)
    assert np.array_equal(
        Checkpoint(checkpoint.info, network, "").score_all(segments),
        checkpoint.score_all(segments),
    )


def test_a_score_does_not_depend_on_the_rest_of_the_batch(
    checkpoint: Checkpoint, speech: Samples
) -> None:
    segments = segments_of(speech, checkpoint)
    alone = np.stack([checkpoint.score_all([segment])[0] for segment in segments])
    assert np.abs(checkpoint.score_all(segments) - alone).max() < 1e-4
    assert np.abs(checkpoint.score_all(segments[::-1])[::-1] - alone).max() < 1e-4
    assert np.abs(alone.sum(1) - 1).max() < 1e-5
    assert np.ptp(alone, axis=0).max() > 0.01  # and they differ


def test_a_long_segment_is_the_weighted_mean_of_its_pieces(
    checkpoint: Checkpoint, speech: Samples
) -> None:
    rate_hz, most = checkpoint.info.rate_hz, checkpoint.info.max_input_s
    n = round(most * rate_hz)
    long = np.tile(speech, 3)[: round(1.5 * n)]
    if checkpoint.has_offset:  # which scores the mean of the embeddings
        each = checkpoint.embed_all([long[:n], long[-n:]])
        mean = (each[:1] * n + each[1:] * (len(long) - n)) / len(long)
        expected = checkpoint.score_embeddings(mean, np.array([len(long) / rate_hz]))[0]
    else:
        first, last = checkpoint.score_all([long[:n], long[-n:]])
        expected = (first * n + last * (len(long) - n)) / len(long)
    assert np.allclose(checkpoint.score(long, rate_hz), expected, atol=1e-4)
    both = checkpoint.score_all([long, speech[:9_000]])
    assert np.allclose(both[0], expected, atol=1e-4)
    assert np.allclose(both[1], checkpoint.score(speech[:9_000], rate_hz), atol=1e-4)


@pytest.mark.parametrize("pooling", ["statistics", "attentive"])
@pytest.mark.parametrize("layer_weights", [False, True])
def test_freezing_layers_of_whisper_changes_no_logits(
    speech: Samples, pooling: str, layer_weights: bool
) -> None:
    settings = SMALL_WHISPER | {
        "taps": (0, 1, 2),
        "pooling": pooling,
        "layer_weights": layer_weights,
    }
    torch.manual_seed(0)
    free = build("whisper", 4, settings | {"frozen_layers": -1}).eval()
    features = front_end("whisper_log_mel", {})(cuts(speech), CPU)
    with torch.inference_mode():
        expected = free(features)
        for depth in (0, 1, 2):
            network = build("whisper", 4, settings | {"frozen_layers": depth}).eval()
            network.load_state_dict(free.state_dict())
            assert torch.allclose(network(features), expected, atol=1e-5)
            frozen = {name for name, each in network.named_parameters() if not each.requires_grad}
            assert all(f"encoder.layers.{n}.fc1.weight" in frozen for n in range(depth))
            assert f"encoder.layers.{depth}.fc1.weight" not in frozen
            assert "head.weight" not in frozen
    assert all(each.requires_grad for each in free.parameters())


def test_learned_weights_change_logits(speech: Samples) -> None:
    network = small_network("whisper, mixed")
    features = front_end("whisper_log_mel", {})(cuts(speech), CPU)
    with torch.no_grad():
        before = network(features)
        network.mixture[0] += 3.0  # type: ignore[index, operator]
        mixed = network(features)
        network.attention.score[2].weight.mul_(50.0)  # type: ignore[union-attr, index]
        attended = network(features)
    assert (mixed - before).abs().max() > 1e-3
    assert (attended - mixed).abs().max() > 1e-3


def test_settings_of_acnt() -> None:
    values = Features(torch.randn(2, 40, 174), torch.tensor([174, 174]))
    sizes = {}
    for settings in ({}, {"num_layers": 3}, {"transformer_dim": 64}, {"use_transformer": False}):
        network = build("acnt", 4, settings).eval()
        assert network(values).shape == (2, 4)
        sizes[str(settings)] = sum(each.numel() for each in network.parameters())
    assert len(set(sizes.values())) == 4
    with pytest.raises(CheckpointError, match="pe_max_len 21: the network has 22 time steps"):
        build("acnt", 4, {"pe_max_len": 21})
    assert build("acnt", 4, {"pe_max_len": 22}).eval()(values).shape == (2, 4)
    positions = sinusoids(30, 8)
    assert torch.allclose(positions[:, 0], torch.arange(30).sin())
    assert torch.allclose(positions[:, 1], torch.arange(30).cos())


def test_initialisation_of_acnt() -> None:
    """Kaiming: deviation sqrt(2 / fan out) for convolutions; Xavier's bound for linear layers."""
    torch.manual_seed(0)
    network = ACNT(8)
    convolution = network.blocks[3].path[3].weight.detach()  # type: ignore[union-attr, index]
    expected = (2 / (128 * 9)) ** 0.5
    assert abs(float(convolution.std()) / expected - 1) < 0.02
    bound = (6 / (384 + 128)) ** 0.5
    assert 0.95 * bound < float(network.project.weight.detach().abs().max()) <= bound
    assert not network.project.bias.any()


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("vgg", {"wings": 2}),
        ("vgg", {"dense_dropout": [0.1]}),
        ("mfcc_cnn", {"block_dropout": 1}),
        ("acnt", {"num_heads": 7}),
        ("acnt", {"num_heads": 0}),
        ("acnt", {"transformer_dim": 0}),
        ("gap_cnn", {"channels": []}),
        ("gap_cnn", {"channels": [8] * 8}),
        ("whisper", {"frozen_layers": 9}),
        ("whisper", {"pooling": "deep"}),
        ("whisper", {"taps": (2, 2)}),
        ("whisper", {"d_model": 30, "heads": 4}),
        ("ast", {"hidden_size": "wide"}),
        ("ast", {"hidden_size": 33, "num_attention_heads": 2}),
        ("ast", {"max_length": 8}),
        ("ast", {"std": 0}),
        ("hf", {}),
        ("hf", {"config": SMALL_WAV2VEC2, "extractor": RAW | STRANGE}),
        ("oracle", {}),
    ],
)
def test_settings_that_do_not_fit(architecture: str, settings: dict[str, Any]) -> None:
    if architecture == "ast":
        pytest.importorskip("transformers")
    with pytest.raises(CheckpointError, match=r"do not fit|this version has"):
        build(architecture, 4, settings)


def test_a_network_in_another_memory_layout_can_be_saved(tmp_path: Path, speech: Samples) -> None:
    """Channels last, as training uses it; scores stay the same."""
    path = small_checkpoint(tmp_path / "a.safetensors", "gap_cnn", LABELS)
    network = load_checkpoint(path)._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    from models.checkpoint import read_info, save_checkpoint

    save_checkpoint(tmp_path / "b.safetensors", read_info(path), network)
    scores = [
        load_checkpoint(tmp_path / f"{n}.safetensors").score(speech[:9000], 16_000) for n in "ab"
    ]
    assert np.allclose(*scores, atol=1e-6)

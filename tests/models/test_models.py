"""Networks and checkpoints: scores independent of the batch, files that are checked."""

import json
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from conftest import LABELS, SMALL, Runner, cuts
from safetensors.torch import load_file, save_file

from batch_ser.audio.samples import Samples
from batch_ser.errors import CheckpointError
from batch_ser.features import Features, whisper_log_mel
from models import ARCHITECTURES, Checkpoint, load_checkpoint, parameter_count
from models.checkpoint import KEY, read_info, save_checkpoint
from models.loading import SHIPPED, shipped_checkpoints
from models.pooling import activity, statistics_pooling
from models.whisper import WhisperClassifier

CPU = torch.device("cpu")
RATE_HZ = 16_000


@pytest.fixture(scope="session")
def accurate() -> Checkpoint:
    return load_checkpoint("accurate")


def test_mel_filters_are_librosa_s() -> None:
    from batch_ser.features import whisper_filters

    expected = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=80)
    assert np.abs(whisper_filters().numpy() - expected).max() < 1e-6


def test_log_mel_is_whisper_s(speech: Samples) -> None:
    """Against the feature extractor of transformers, on a full 30 s, which it pads to."""
    transformers = pytest.importorskip("transformers")
    samples = np.tile(speech, 2)[: 30 * 16_000]
    extractor = transformers.WhisperFeatureExtractor()
    expected = extractor(samples, sampling_rate=16_000, return_tensors="np")["input_features"]
    found = whisper_log_mel([samples], CPU).values.numpy()
    assert np.abs(found - expected).max() < 1e-4


def test_the_encoder_is_whisper_s() -> None:
    """Against the encoder of transformers, which takes 30 s only."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=128
    )
    reference = transformers.models.whisper.modeling_whisper.WhisperEncoder(config).eval()
    network = WhisperClassifier(4, **(SMALL | {"taps": (0, 1, 2)})).eval()
    network.encoder.load_state_dict(reference.state_dict())
    values = torch.randn(1, 80, 3000)
    with torch.inference_mode():
        expected = reference(values, output_hidden_states=True).hidden_states
        found, _ = network.encoder(Features(values, torch.tensor([3000])))
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() < 1e-4


def test_pooling_is_the_mean_and_deviation_before_a_segment_s_end() -> None:
    state, mask = torch.randn(2, 9, 5), torch.ones(2, 9, dtype=torch.bool)
    mask[1, 4:] = False
    pooled = statistics_pooling([state], mask)
    for row, length in enumerate((9, 4)):
        own = state[row, :length]
        expected = torch.cat([own.mean(0), own.std(0, correction=0)])
        assert torch.allclose(pooled[row], expected, atol=1e-5)


def test_active_frames_are_those_with_sound(speech: Samples) -> None:
    """A second of speech between two of near silence, alone and beside a longer segment."""
    silence = 1e-4 * np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    framed = np.concatenate([silence, speech[60_000 : 60_000 + RATE_HZ], silence])
    features = whisper_log_mel([framed, speech[: 4 * RATE_HZ]], CPU)
    weights = activity(features, 200)
    assert weights[0, :45].max() < 0.01
    assert weights[0, 105:].max() < 0.01  # and past its end
    assert not weights[0, 150:].any()
    assert weights[0, 50:100].mean() > 0.4
    alone = activity(whisper_log_mel([framed], CPU), 150)
    assert torch.allclose(weights[0, :150], alone[0], atol=1e-6)


def test_silence_around_an_utterance_hardly_changes_active_statistics(speech: Samples) -> None:
    voiced = speech[60_000:92_000]
    moved = []
    for weigh in (lambda _, length: torch.ones(1, length), activity):
        pooled = []
        for samples in (voiced, np.pad(voiced, RATE_HZ)):
            features = whisper_log_mel([samples], CPU)
            state = features.values[:, :, ::2].transpose(1, 2)
            pooled.append(statistics_pooling([state], weigh(features, state.shape[1])))
        moved.append(float((pooled[0] - pooled[1]).abs().mean()))
    assert moved[1] < 0.1 * moved[0]


def test_a_score_does_not_depend_on_the_rest_of_the_batch(
    accurate: Checkpoint, speech: Samples
) -> None:
    segments = cuts(speech)
    alone = np.stack([accurate.score_all([segment])[0] for segment in segments])
    together = accurate.score_all(segments)
    backwards = accurate.score_all(segments[::-1])[::-1]
    assert np.abs(together - alone).max() < 1e-4
    assert np.abs(backwards - alone).max() < 1e-4
    assert np.abs(alone.sum(1) - 1).max() < 1e-5
    assert np.ptp(alone, axis=0).max() > 0.1  # and they differ


def test_long_segments_are_the_mean_of_their_pieces(
    accurate: Checkpoint, checkpoint_path: Path, speech: Samples
) -> None:
    """Weighted by their new seconds: of embeddings where there is an offset, else of scores."""
    long = np.tile(speech, 2)[: 40 * 16_000]
    pieces = [[long[: 30 * 16_000]], [long[10 * 16_000 :]]]
    first, last = (accurate.embed(accurate.features(piece)) for piece in pieces)
    expected = accurate.score_embeddings((first * 30 + last * 10) / 40, np.array([40.0]))[0]
    assert np.allclose(accurate.score(long, 16_000), expected, atol=1e-6)
    small = load_checkpoint(checkpoint_path)
    first, last = (small.score_all(piece) for piece in pieces)
    assert np.allclose(small.score(long, 16_000), (first * 30 + last * 10)[0] / 40, atol=1e-6)
    assert np.abs(first - last).max() > 1e-4


def test_score_takes_any_length_and_rate(accurate: Checkpoint, speech: Samples) -> None:
    short = accurate.score(speech[:48_000], 16_000)
    assert np.allclose(short, accurate.score_all([speech[:48_000]])[0], atol=1e-6)
    assert accurate.score(speech[::2][:24_000], 8_000).shape == (8,)
    for wrong in (np.zeros((2, 9), np.float32), np.zeros(0, np.float32)):
        with pytest.raises(ValueError, match="expected \\(n,\\)"):
            accurate.score(wrong, 16_000)


def test_a_checkpoint_that_is_saved_again_is_the_same_file(
    checkpoint_path: Path, speech: Samples
) -> None:
    checkpoint = load_checkpoint(checkpoint_path)
    assert checkpoint.info.labels == LABELS
    again = checkpoint_path.with_name("again.safetensors")
    save_checkpoint(again, checkpoint.info, checkpoint._network)
    assert again.read_bytes() == checkpoint_path.read_bytes()
    scores = load_checkpoint(again).score_all(cuts(speech))
    assert np.array_equal(scores, checkpoint.score_all(cuts(speech)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "oracle"}, "this version has ast, vgg"),
        ({"front_end": "other"}, "this version has"),
        ({"labels": ["happy"]}, "two or more"),
        ({"labels": ["a", "b", "c", "d", "e"]}, "do not fit"),
        ({"settings": {"taps": [9]}}, "do not fit"),
        ({"settings": {"wings": 2}}, "do not fit"),
        ({"temperature": 0.0}, "more than 0"),
    ],
)
def test_a_checkpoint_that_does_not_fit(
    checkpoint_path: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    info = json.loads(json.dumps(read_info(checkpoint_path).__dict__)) | change
    path = tmp_path / "changed.safetensors"
    save_file(load_file(checkpoint_path), path, metadata={KEY: json.dumps(info)})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    text, other = tmp_path / "text.safetensors", tmp_path / "other.safetensors"
    text.write_text("not a checkpoint")
    save_file({"a": torch.zeros(1)}, other)
    for model, message in (
        (str(text), "not a safetensors file"),
        (str(other), "without batch-ser's metadata"),
        (str(tmp_path / "none.safetensors"), "no such file"),
        ("best", "expected accurate"),
        (str(tmp_path), "hf:"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(model)


def test_the_shipped_checkpoints_match_their_cards() -> None:
    from train.evaluation.model_card import card as card_of

    assert "accurate" in shipped_checkpoints()
    for name in shipped_checkpoints():
        info = read_info(SHIPPED / f"{name}.safetensors")
        assert (SHIPPED / f"{name}.safetensors").stat().st_size <= 20_000_000
        card = (SHIPPED / f"{name}.md").read_text()
        figures = info.summary()
        assert figures
        assert all(f"{100 * each['UAR']:.1f} %" in card for each in figures.values())
        assert info.licence in card
        assert card == card_of(info, all_seen=True)
        assert all(each["licence"] in card for each in info.corpora)


def test_models_lists_them(batch_ser: Runner) -> None:
    done = batch_ser("models", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["architectures"] == {name: parameter_count(name) for name in ARCHITECTURES}
    assert 8.1e6 < found["architectures"]["whisper"] < 8.3e6
    assert "accurate" in batch_ser("models").stdout

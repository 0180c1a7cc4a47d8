"""Front ends: the same as in the libraries that define them, on segments of any length."""

from typing import Any

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from conftest import cuts

from batch_ser.audio.samples import Samples
from batch_ser.errors import CheckpointError
from batch_ser.features import FRONT_ENDS, front_end

CPU = torch.device("cpu")
VGG: dict[str, Any] = {"length_s": 3.0, "bands": 128}
ACNT: dict[str, Any] = {"length_s": 4.02, "bands": 40}
TRIMMED = VGG | {"trim_db": 30.0}
WAV2VEC = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "sampling_rate": 16_000,
    "do_normalize": True,
    "return_attention_mask": False,
}
BANKS = {"feature_extractor_type": "ASTFeatureExtractor", "sampling_rate": 16_000}
WHISPER = {"feature_extractor_type": "WhisperFeatureExtractor", "sampling_rate": 16_000}
ALL = [
    ("whisper_log_mel", {}),
    ("whisper_log_mel", {"level": -4.0}),
    ("log_mel", VGG),
    ("log_mel", ACNT),
    ("log_mel", TRIMMED),
    ("mfcc", {}),
    ("kaldi_fbank", {}),
    ("kaldi_fbank", {"frames": 304}),
    ("hugging_face", {"extractor": WAV2VEC}),
    ("hugging_face", {"extractor": BANKS}),
    ("hugging_face", {"extractor": WHISPER}),
]


def features(name: str, settings: dict[str, Any], samples: Samples) -> np.ndarray[Any, Any]:
    return front_end(name, settings)([samples], CPU).values[0].numpy()


def test_with_a_level_loudness_makes_no_difference(speech: Samples) -> None:
    levelled = {"level": -4.0}
    loud = speech[:48_000]
    quiet = loud * np.float32(0.1)
    difference = features("whisper_log_mel", {}, loud) - features("whisper_log_mel", {}, quiet)
    assert np.abs(difference - 0.5).max() < 1e-3  # 20 dB, which Whisper's scale divides by 4
    found = features("whisper_log_mel", levelled, loud)
    assert np.abs(found - features("whisper_log_mel", levelled, quiet)).max() < 1e-3
    moved = found - features("whisper_log_mel", {}, loud)
    assert np.ptp(moved) < 1e-5  # one shift for all bands and frames
    silence = np.zeros(16_000, np.float32)
    assert np.allclose(features("whisper_log_mel", levelled, silence), 0.0)


@pytest.mark.parametrize(("settings", "shape"), [(VGG, (128, 130)), (ACNT, (40, 174))])
def test_mel_bands_in_db_are_librosa_s(
    speech: Samples, settings: dict[str, Any], shape: tuple[int, int]
) -> None:
    length = round(settings["length_s"] * 22_050)
    for samples in (speech[20_000 : 20_000 + length], speech[50_000:80_000]):
        padded = np.pad(samples, (0, length - len(samples)))
        mel = librosa.feature.melspectrogram(
            y=padded, sr=22_050, n_fft=2_048, hop_length=512, n_mels=settings["bands"]
        )
        expected = librosa.power_to_db(mel, ref=np.max, top_db=80)
        found = features("log_mel", settings, samples)
        assert found.shape == expected.shape == shape
        assert np.abs(found - expected).max() < 1e-3


def test_silence_is_trimmed_as_librosa_does(speech: Samples) -> None:
    quiet = np.concatenate([np.zeros(30_000, np.float32), speech[40_000:60_000]])
    kept, _ = librosa.effects.trim(quiet, top_db=30)
    assert 10_000 < len(kept) < 21_000
    found = features("log_mel", TRIMMED, quiet)
    assert np.array_equal(found, features("log_mel", VGG, kept))
    assert not np.array_equal(found, features("log_mel", VGG, quiet))


def test_mfcc_are_torchaudio_s(speech: Samples) -> None:
    transform = torchaudio.transforms.MFCC(
        16_000, n_mfcc=40, melkwargs={"n_fft": 1_024, "hop_length": 512, "n_mels": 64}
    )
    samples = speech[20_000:68_000]
    found = features("mfcc", {}, samples)
    assert found.shape == (40, 94)
    assert np.array_equal(found, transform(torch.from_numpy(samples)).numpy())


@pytest.mark.parametrize("length_s", [0.03, 2.0, 12.0])
def test_kaldi_banks_are_those_of_the_transformers_extractor(
    speech: Samples, length_s: float
) -> None:
    transformers = pytest.importorskip("transformers")
    samples = speech[: round(length_s * 16_000)]
    extract = transformers.ASTFeatureExtractor()
    expected = extract(samples, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    found = features("kaldi_fbank", {}, samples)
    assert found.shape == (128, 1_024)
    assert np.abs(found.T - expected).max() < 1e-4


@pytest.mark.parametrize(("name", "settings"), ALL)
def test_unusual_segments_have_finite_features(
    name: str, settings: dict[str, Any], speech: Samples
) -> None:
    if name == "hugging_face":
        pytest.importorskip("transformers")
    unusual = {
        "one sample": speech[30_000:30_001],
        "10 ms": speech[30_000:30_160],
        "silence": np.zeros(16_000, np.float32),
        "only DC": np.full(16_000, 0.5, np.float32),
        "loud": np.clip(speech[30_000:60_000] * 1e4, -3e4, 3e4),
    }
    extract = front_end(name, settings)
    for what, samples in unusual.items():
        values, frames = extract([samples], CPU)
        assert torch.isfinite(values).all(), what
        assert 0 < frames[0] <= values.shape[2], what


@pytest.mark.parametrize(("name", "settings"), ALL)
def test_features_do_not_depend_on_neighbours(
    name: str, settings: dict[str, Any], speech: Samples
) -> None:
    if name == "hugging_face":
        pytest.importorskip("transformers")
    extract, segments = front_end(name, settings), cuts(speech)
    together = extract(segments, CPU)
    for row, segment in enumerate(segments):
        alone = extract([segment], CPU)
        frames = int(together.frames[row])
        assert frames == int(alone.frames[0]) == alone.values.shape[2]
        assert torch.equal(together.values[row, :, :frames], alone.values[0])
        assert not together.values[row, :, frames:].any()


def test_wrong_settings_are_named() -> None:
    with pytest.raises(CheckpointError, match="no setting 'colour'; it has rate_hz"):
        front_end("log_mel", {"colour": "red"})
    with pytest.raises(CheckpointError, match="this version has whisper_log_mel"):
        front_end("ears", {})
    assert set(FRONT_ENDS) == {name for name, _ in ALL}

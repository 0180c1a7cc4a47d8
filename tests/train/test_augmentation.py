"""Augmentation: each switch changes what it names and nothing else, and a seed repeats it."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from batch_ser.features import Features, whisper_log_mel
from train.augmentation.features import change_features, mix
from train.augmentation.samples import change_samples
from train.augmentation.settings import OF_FEATURES, Augmentation

RATE_HZ = 16_000
ALWAYS = Augmentation(probability=1.0)
SWITCHES: dict[str, Any] = {
    "gain_db": 6.0,
    "noise_snr_db": (5.0, 20.0),
    "babble_snr_db": (5.0, 20.0),
    "pitch_semitones": 3.0,
    "stretch": 0.3,
    "speed": 0.2,
    "polarity": True,
    "reverb_s": 0.4,
    "tilt_db": 9.0,
    "telephone": True,
    "cut_s": 0.5,
}


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def changed(samples: Samples, seed: int = 0, **switches: Any) -> Samples:
    return change_samples(samples, RATE_HZ, replace(ALWAYS, **switches), seeded(seed))


@pytest.fixture(scope="module")
def voiced(speech: Samples) -> Samples:
    return speech[60_000:84_000]


@pytest.fixture(scope="module")
def bands(voiced: Samples) -> torch.Tensor:
    return whisper_log_mel([voiced], torch.device("cpu")).values[0]


def test_every_switch_is_tested() -> None:
    others = {"probability", "pad"} | OF_FEATURES
    assert SWITCHES.keys() | others == {each.name for each in fields(Augmentation)}


def test_all_off_is_the_identity(voiced: Samples, bands: torch.Tensor) -> None:
    draw = seeded()
    assert change_samples(voiced, RATE_HZ, ALWAYS, draw) is voiced
    assert change_features(bands, ALWAYS, draw) is bands
    batch, targets = Features(bands[None], torch.tensor([bands.shape[1]])), torch.eye(1)
    possible = torch.ones(1, 1, dtype=torch.bool)
    assert mix(batch, targets, possible, ALWAYS, draw) == (batch, targets, possible)
    assert draw.random() == seeded().random()  # and nothing was drawn
    never = Augmentation(probability=0.0, **SWITCHES)
    assert change_samples(voiced, RATE_HZ, never, draw) is voiced


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_changes_the_samples_and_a_seed_repeats_it(name: str, voiced: Samples) -> None:
    before = voiced.copy()
    once = changed(voiced, 1, **{name: SWITCHES[name]})
    assert np.array_equal(once, changed(voiced, 1, **{name: SWITCHES[name]}))
    assert not np.array_equal(once, voiced)
    assert once.dtype == np.float32
    assert np.isfinite(once).all()
    assert np.array_equal(voiced, before)  # what came in is left alone
    if name not in ("polarity", "telephone"):  # of few kinds
        assert not np.array_equal(once, changed(voiced, 2, **{name: SWITCHES[name]}))


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("length", [1, 2, 399, 2_047, 2_048])
def test_silence_and_single_samples_survive(name: str, length: int, voiced: Samples) -> None:
    for samples in (np.zeros(length, np.float32), voiced[:length]):
        for seed in range(3):
            found = changed(samples, seed, **{name: SWITCHES[name]})
            assert len(found)
            assert np.isfinite(found).all()
            if name != "telephone":  # a line may swallow a single sample
                assert found.any() == samples.any()


@given(st.integers(0, 1000), st.floats(0.1, 30.0))
def test_gain_is_within_its_bounds(seed: int, gain_db: float) -> None:
    samples = np.array([0.25, -0.5, 0.125], np.float32)
    ratio = changed(samples, seed, gain_db=gain_db) / samples
    assert np.ptp(ratio) < 1e-5 * ratio.max()
    assert abs(20 * np.log10(ratio[0])) <= gain_db + 1e-3


@pytest.mark.parametrize("name", ["noise_snr_db", "babble_snr_db"])
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 30.0])
def test_noise_has_the_ratio_that_was_asked_for(snr_db: float, name: str, voiced: Samples) -> None:
    noise = changed(voiced, **{name: (snr_db, snr_db)}) - voiced
    assert 10 * np.log10((voiced**2).sum() / (noise**2).sum()) == pytest.approx(snr_db, abs=0.05)


def test_babble_sounds_like_voices_and_noise_does_not(voiced: Samples) -> None:
    """Its spectrum is the recording's: little of it lies above 4 kHz, of white noise half."""
    for name, low, high in (("babble_snr_db", 0.0, 0.2), ("noise_snr_db", 0.45, 0.55)):
        power = np.abs(np.fft.rfft(changed(voiced, **{name: (0.0, 0.0)}) - voiced)) ** 2
        assert low <= power[len(power) // 2 :].sum() / power.sum() <= high


def test_polarity_turns_the_signal_upside_down(voiced: Samples) -> None:
    assert np.array_equal(changed(voiced, polarity=True), -voiced)


def test_a_tilt_is_within_its_bounds_and_clips_nothing(voiced: Samples) -> None:
    loud = voiced / np.abs(voiced).max()
    for seed in range(5):
        ratio = np.abs(np.fft.rfft(changed(loud, seed, tilt_db=9.0)) / np.fft.rfft(loud))
        within = 20 * np.log10(np.quantile(ratio, [0.05, 0.95]))
        assert within.min() > -9.5
        assert within.max() < 9.5
        assert np.ptp(within) > 0.5


def peak_hz(samples: Samples) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * RATE_HZ / len(samples))


@pytest.mark.parametrize("seed", range(4))
def test_speed_stretch_and_pitch_change_length_or_pitch(seed: int) -> None:
    """On a tone of 1 kHz: speed changes both, stretch only its length, pitch only its pitch."""
    tone = np.sin(np.arange(24_000) * 2 * np.pi * 1_000 / RATE_HZ).astype(np.float32)
    share = 1 + seeded_share(seed) * 0.2
    played, stretched = changed(tone, seed, speed=0.2), changed(tone, seed, stretch=0.2)
    assert len(played) == pytest.approx(len(tone) / share, abs=2)
    assert peak_hz(played) == pytest.approx(1_000 * share, rel=0.01)
    assert len(stretched) == pytest.approx(len(tone) / share, abs=2)
    assert peak_hz(stretched) == pytest.approx(1_000, rel=0.01)
    shifted = changed(tone, seed, pitch_semitones=4.0)
    assert len(shifted) == len(tone)
    semitones = seeded_share(seed) * 4
    assert peak_hz(shifted) == pytest.approx(1_000 * 2 ** (semitones / 12), rel=0.02)


def seeded_share(seed: int) -> float:
    """The number from -1 to 1 that a seed's first change draws, after whether it happens."""
    draw = seeded(seed)
    draw.random()
    return float(draw.uniform(-1, 1))


def test_reverberation_follows_the_sound_and_dies_away() -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[100] = 1.0
    wet = changed(click, reverb_s=0.3)
    assert len(wet) == len(click)
    assert not wet[:100].any() or np.abs(wet[:100]).max() < 1e-6
    assert wet[100] == pytest.approx(1.0, abs=1e-4)
    energy = [float((wet[a : a + 400] ** 2).sum()) for a in (101, 1_701, 5_000)]
    assert energy[0] > energy[1]
    assert energy[2] < 1e-10  # past the reverberation time


@given(st.integers(0, 10_000), st.integers(0, 3), st.integers(1, 40), st.integers(0, 3))
def test_masks_hide_at_most_what_they_may(
    seed: int, time_masks: int, widest: int, band_masks: int
) -> None:
    values = torch.arange(30 * 60, dtype=torch.float32).reshape(30, 60).sin() + 9
    augment = Augmentation(
        time_masks=time_masks, time_mask_frames=widest, band_masks=band_masks, band_mask_width=7
    )
    found = change_features(values, augment, seeded(seed))
    hidden = found != values
    assert torch.allclose(found[hidden], values.mean())  # and everything else is as it was
    frames, bands = hidden.all(0).sum(), hidden.all(1).sum()
    assert frames <= time_masks * min(widest, 20)
    assert bands <= band_masks * 7
    assert not hidden[:, ~hidden.all(0)][~hidden.all(1)].any()


def test_masks_do_hide(bands: torch.Tensor) -> None:
    for switch in ("time_masks", "band_masks"):
        found = [
            change_features(bands, Augmentation(**{switch: 1}), seeded(seed)) for seed in range(9)
        ]
        assert sum(not torch.equal(each, bands) for each in found) >= 5


def test_spectral_noise_is_as_loud_as_asked(bands: torch.Tensor) -> None:
    noise = change_features(bands, Augmentation(spectral_noise=0.2), seeded()) - bands
    assert noise.std() == pytest.approx(0.2 * float(bands.std()), rel=0.02)
    assert abs(float(noise.mean())) < 0.01


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_features_of_any_size_survive(frames: int) -> None:
    augment = Augmentation(time_masks=2, band_masks=2, spectral_noise=0.1)
    for bands in (1, 2, 80):
        found = change_features(torch.ones(bands, frames), augment, seeded())
        assert found.shape == (bands, frames)
        assert torch.isfinite(found).all()


@given(st.integers(0, 1000), st.floats(0.1, 2.0))
def test_mixup_mixes_features_and_targets_by_one_share(seed: int, parameter: float) -> None:
    """Where the features are the targets themselves, they stay so."""
    targets = torch.eye(5)
    batch = Features(targets[:, :, None].repeat(1, 1, 3), torch.tensor([1, 2, 3, 3, 2]))
    possible = targets > 0  # as if every recording's corpus had its label alone
    found, mixed, allowed = mix(
        batch, targets, possible, Augmentation(mixup=parameter), seeded(seed)
    )
    assert torch.allclose(found.values, mixed[:, :, None].expand(-1, -1, 3))
    assert torch.allclose(mixed.sum(1), torch.ones(5))
    assert (found.frames >= batch.frames).all()
    present = mixed > 0
    assert (present.sum(1) <= 2).all()
    assert allowed[present].all()  # of what is mixed in, too
    assert (allowed.sum(1) <= 2).all()


@pytest.mark.parametrize(
    "switch",
    [
        {"probability": 1.5},
        {"stretch": 1.0},
        {"speed": -0.1},
        {"noise_snr_db": (9.0, 3.0)},
        {"noise_snr_db": (9.0,)},
    ],
)
def test_switches_out_of_range(switch: dict[str, Any]) -> None:
    name = next(iter(switch))
    with pytest.raises(UsageError, match=f"augmentation.{name}="):
        Augmentation(**switch)


@given(st.integers(0, 1000), st.floats(0.1, 1.0))
def test_a_cut_is_a_stretch_of_the_speech(seed: int, shortest_s: float) -> None:
    """A tone between silences: no silence is left, and at least as much as asked, if there is."""
    tone = np.sin(np.arange(RATE_HZ) * 0.3).astype(np.float32)
    quiet = np.zeros(RATE_HZ // 2, np.float32)
    found = changed(np.concatenate([quiet, tone, quiet]), seed, cut_s=shortest_s)
    frame = RATE_HZ // 50
    assert round(shortest_s * RATE_HZ) <= len(found) <= len(tone) + 2 * frame
    inside = found[frame:-frame]
    assert np.sqrt(np.mean(inside**2)) == pytest.approx(np.sqrt(0.5), rel=0.02)

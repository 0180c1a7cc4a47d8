"""Augmentation of the training side: of samples, and of features. Everything can be switched off.

Whatever is drawn comes from a generator that is handed in, so that a seed repeats a training. The
signal processing is librosa's, torchaudio's and soxr's.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import soxr
import torch
import torchaudio

from batch_ser.audio import Samples
from batch_ser.errors import UsageError
from batch_ser.features import Features
from train.augmentation.babble_noise import VOICES, Voices, babble, with_noise
from train.augmentation.telephone import CODECS, telephoned

Generator = np.random.Generator
VOCODER_WINDOW = 2_048  # samples: what is shorter is neither stretched nor shifted
RATIOS = ("noise_snr_db", "babble_snr_db")
AUDIBLE_DB = 30.0  # frames within this of a recording's loudest one are not the silence around it
FRAME_S = 0.02
OF_FEATURES = {
    "time_masks", "time_mask_frames", "band_masks", "band_mask_width", "spectral_noise", "mixup",
}  # fmt: skip


@dataclass(frozen=True)
class Augment:
    """What may happen to a training example; None or 0 switches a thing off."""

    probability: float = 0.5  # of each change of the samples
    gain_db: float | None = None  # up to so much louder or softer
    noise_snr_db: tuple[float, float] | None = None  # Gaussian noise, between these ratios
    babble_snr_db: tuple[float, float] | None = None  # many voices, between these ratios
    pitch_semitones: float | None = None  # up to so much higher or lower, at the same tempo
    stretch: float | None = None  # up to this share faster or slower, at the same pitch
    speed: float | None = None  # up to this share faster and higher, or slower and lower
    polarity: bool = False  # turn the signal upside down
    reverb_s: float | None = None  # up to this reverberation time
    tilt_db: float | None = None  # bass and treble up to so much louder or softer
    telephone: bool = False  # through a line of 8 kHz with one of `telephone.CODECS`
    cut_s: float | None = None  # a stretch of at least this, without the silence around the speech
    pad: bool = False  # a short recording stands anywhere within what the network takes at once
    time_masks: int = 0  # SpecAugment: stretches of time at the mean
    time_mask_frames: int = 20
    band_masks: int = 0  # SpecAugment: groups of bands at the mean
    band_mask_width: int = 12
    spectral_noise: float = 0.0  # Gaussian, in standard deviations of the features
    mixup: float = 0.0  # parameter of the Beta distribution

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"augment.probability={self.probability}: expected 0 to 1")
        for name in ("stretch", "speed"):
            if (share := getattr(self, name)) is not None and not 0 <= share < 1:
                raise UsageError(f"augment.{name}={share}: expected a share from 0 to below 1")
        for name, value in asdict(self).items():
            if name not in RATIOS and value is not None and not 0 <= value < np.inf:
                raise UsageError(f"augment.{name}={value}: expected 0 or more")
        for name in RATIOS:
            pair = getattr(self, name)
            if pair is not None and (len(pair) != 2 or pair[0] > pair[1]):
                raise UsageError(f"augment.{name}={pair}: expected [LOWEST, HIGHEST] in dB")

    def of_samples(self) -> dict[str, Any]:
        """What changes samples, as far as it is switched on: cached features depend on it."""
        every = asdict(self).items()
        return {name: value for name, value in every if value and name not in OF_FEATURES}


def change_samples(
    samples: Samples,
    rate_hz: int,
    augment: Augment,
    draw: Generator,
    voices: Voices | None = None,
) -> Samples:
    """Samples (n,) changed at random; the length changes with cut, speed and stretch.

    Babble is made of `voices`, else of the recording itself backwards.
    """

    def happens(wanted: object) -> bool:
        return bool(wanted) and draw.random() < augment.probability

    if happens(augment.cut_s):
        samples = _cut(samples, rate_hz, augment.cut_s or 0, draw)
    if happens(augment.speed):
        samples = played(samples, rate_hz, 1 + draw.uniform(-1, 1) * (augment.speed or 0))
    vocoded = len(samples) >= VOCODER_WINDOW
    if happens(augment.stretch) and vocoded:
        samples = _stretched(samples, 1 + draw.uniform(-1, 1) * (augment.stretch or 0))
    if happens(augment.pitch_semitones) and vocoded:
        semitones = draw.uniform(-1, 1) * (augment.pitch_semitones or 0)
        samples = _pitched(samples, rate_hz, semitones)
    if happens(augment.reverb_s):
        samples = _reverberated(
            samples, rate_hz, draw.uniform(0.1, 1) * (augment.reverb_s or 0), draw
        )
    if happens(augment.tilt_db):
        samples = _tilted(samples, rate_hz, augment.tilt_db or 0, draw)
    if happens(augment.gain_db):
        samples = samples * np.float32(10 ** (draw.uniform(-1, 1) * (augment.gain_db or 0) / 20))
    if happens(augment.polarity):
        samples = -samples
    if happens(augment.noise_snr_db):
        low, high = augment.noise_snr_db or (0.0, 0.0)
        noise = draw.standard_normal(len(samples), dtype=np.float32)
        samples = with_noise(samples, noise, draw.uniform(low, high))
    if happens(augment.babble_snr_db):
        low, high = augment.babble_snr_db or (0.0, 0.0)
        others = voices(draw, VOICES) if voices else _backwards(samples, rate_hz, draw)
        samples = with_noise(samples, babble(others, len(samples), draw), draw.uniform(low, high))
    if happens(augment.telephone):
        samples = telephoned(samples, rate_hz, str(draw.choice(sorted(CODECS))))
    return samples


def played(samples: Samples, rate_hz: int, speed: float) -> Samples:
    """Samples played at a speed: pitch and tempo together."""
    if speed == 1.0:
        return samples
    faster: Samples = soxr.resample(samples, rate_hz * speed, rate_hz)
    return faster


def _stretched(samples: Samples, rate: float) -> Samples:
    import librosa

    found: Samples = librosa.effects.time_stretch(samples, rate=rate)
    return found


def _pitched(samples: Samples, rate_hz: int, semitones: float) -> Samples:
    import librosa

    found: Samples = librosa.effects.pitch_shift(samples, sr=rate_hz, n_steps=semitones)
    return found


def _reverberated(samples: Samples, rate_hz: int, decay_s: float, draw: Generator) -> Samples:
    """A room as noise that decays by 60 dB in `decay_s` after the direct sound (Moorer 1979)."""
    length = max(2, round(decay_s * rate_hz))
    time = np.arange(length) / length
    tail = draw.standard_normal(length) * 10 ** (-3 * time)
    room = 0.3 * tail / np.sqrt((tail**2).sum())
    room[0] = 1.0
    wet = torchaudio.functional.fftconvolve(
        torch.from_numpy(samples), torch.from_numpy(room.astype(np.float32))
    )
    return np.asarray(wet[: len(samples)])


def _tilted(samples: Samples, rate_hz: int, most_db: float, draw: Generator) -> Samples:
    """Another microphone: shelves at 300 Hz and at 2 kHz."""
    room = float(np.abs(samples).max(initial=1e-6)) * 10 ** (2 * most_db / 20)
    found = torch.from_numpy(samples / np.float32(room))  # the filters clip at 1
    bass, treble = draw.uniform(-most_db, most_db, 2)
    found = torchaudio.functional.bass_biquad(found, rate_hz, bass, central_freq=300.0)
    found = torchaudio.functional.treble_biquad(found, rate_hz, treble, central_freq=2_000.0)
    return np.asarray(found) * np.float32(room)


def _cut(samples: Samples, rate_hz: int, shortest_s: float, draw: Generator) -> Samples:
    """What a detector of speech may leave of a recording: its speech, often only a part of it."""
    frames = np.array_split(samples, max(1, round(len(samples) / (FRAME_S * rate_hz))))
    power = np.array([np.mean(each.astype(np.float64) ** 2) for each in frames])
    audible = np.flatnonzero(power >= power.max() * 10 ** (-AUDIBLE_DB / 10))
    edges = np.cumsum([0, *map(len, frames)])
    speech = samples[edges[audible[0]] : edges[audible[-1] + 1]]
    length = max(round(shortest_s * rate_hz), round(len(speech) * draw.uniform(0.5, 1.2)))
    first = int(draw.integers(max(0, len(speech) - length) + 1))
    return speech[first : first + length]


def _backwards(samples: Samples, rate_hz: int, draw: Generator) -> list[Samples]:
    """The recording itself backwards at other speeds: voices that need no other recording."""
    speeds = draw.uniform(0.8, 1.25, VOICES)
    played_so = [played(samples, rate_hz, speed)[::-1] for speed in speeds]
    return [each if len(each) else samples for each in played_so]


def change_features(values: torch.Tensor, augment: Augment, draw: Generator) -> torch.Tensor:
    """One example's features (bands, frames): SpecAugment's masks and spectral noise.

    Masks take the example's mean. Source: Park et al. 2019, SpecAugment.
    """
    if not (augment.time_masks or augment.band_masks or augment.spectral_noise):
        return values
    bands, frames = values.shape
    values = values.clone()
    if augment.spectral_noise:
        noise = draw.standard_normal((bands, frames), dtype=np.float32)
        values += torch.from_numpy(noise) * (augment.spectral_noise * values.std(correction=0))
    mean = values.mean()
    for _ in range(augment.time_masks):
        first, width = _stretch_of(frames, augment.time_mask_frames, draw)
        values[:, first : first + width] = mean
    for _ in range(augment.band_masks):
        first, width = _stretch_of(bands, augment.band_mask_width, draw)
        values[first : first + width] = mean
    return values


def _stretch_of(length: int, widest: int, draw: Generator) -> tuple[int, int]:
    """First and width of a mask: at most `widest`, and at most a third of everything."""
    width = int(draw.integers(0, min(widest, length // 3) + 1))
    return int(draw.integers(0, length - width + 1)), width


def mix(
    features: Features,
    targets: torch.Tensor,
    possible: torch.Tensor,
    augment: Augment,
    draw: Generator,
) -> tuple[Features, torch.Tensor, torch.Tensor]:
    """Mixup of a batch's features, targets (batch, labels) and possible labels (batch, labels).

    Source: Zhang et al. 2018.
    """
    if not augment.mixup:
        return features, targets, possible
    share = float(draw.beta(augment.mixup, augment.mixup))
    other = torch.from_numpy(draw.permutation(len(targets)))
    values = share * features.values + (1 - share) * features.values[other]
    frames = torch.maximum(features.frames, features.frames[other])
    mixed = share * targets + (1 - share) * targets[other]
    return Features(values, frames), mixed, possible | possible[other]

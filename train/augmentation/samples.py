"""Augmentation of samples: cuts, speed, pitch, reverberation, filters, noise, telephone lines.

All random numbers come from a generator that is handed in, so that a seed repeats a training. The
signal processing is librosa's, torchaudio's and soxr's.
"""

import numpy as np
import soxr
import torch
import torchaudio

from batch_ser.audio import Samples
from train.augmentation.babble_noise import VOICES, Voices, babble, with_noise
from train.augmentation.settings import Augmentation
from train.augmentation.telephone import CODECS, telephoned

Generator = np.random.Generator
VOCODER_WINDOW = 2_048  # samples: what is shorter is neither stretched nor shifted
AUDIBLE_DB = 30.0  # frames within this of a recording's loudest one are not the silence around it
FRAME_S = 0.02


def change_samples(
    samples: Samples,
    rate_hz: int,
    augmentation: Augmentation,
    draw: Generator,
    voices: Voices | None = None,
) -> Samples:
    """Samples (n,) changed at random; the length changes with cut, speed and stretch.

    Babble is made of `voices`, else of the recording itself backwards.
    """
    samples = _change_voice(samples, rate_hz, augmentation, draw)
    samples = _change_channel(samples, rate_hz, augmentation, draw)
    samples = _add_noise(samples, rate_hz, augmentation, draw, voices)
    if _happens(augmentation.telephone, augmentation, draw):
        samples = telephoned(samples, rate_hz, str(draw.choice(sorted(CODECS))))
    return samples


def _happens(setting: object, augmentation: Augmentation, draw: Generator) -> bool:
    """Whether a change that is switched on happens; one that is off draws nothing."""
    return bool(setting) and draw.random() < augmentation.probability


def _change_voice(
    samples: Samples, rate_hz: int, augmentation: Augmentation, draw: Generator
) -> Samples:
    """What is spoken and how: a part of it, its speed, tempo and pitch."""
    if (shortest_s := augmentation.cut_s) and _happens(shortest_s, augmentation, draw):
        samples = _cut(samples, rate_hz, shortest_s, draw)
    if (share := augmentation.speed) and _happens(share, augmentation, draw):
        samples = played(samples, rate_hz, 1 + draw.uniform(-1, 1) * share)
    vocoded = len(samples) >= VOCODER_WINDOW
    if (share := augmentation.stretch) and _happens(share, augmentation, draw) and vocoded:
        samples = _stretched(samples, 1 + draw.uniform(-1, 1) * share)
    if (most := augmentation.pitch_semitones) and _happens(most, augmentation, draw) and vocoded:
        samples = _pitched(samples, rate_hz, draw.uniform(-1, 1) * most)
    return samples


def _change_channel(
    samples: Samples, rate_hz: int, augmentation: Augmentation, draw: Generator
) -> Samples:
    """Where it is recorded and with what: reverberation, microphone, level, polarity."""
    if (decay_s := augmentation.reverb_s) and _happens(decay_s, augmentation, draw):
        samples = _reverberated(samples, rate_hz, draw.uniform(0.1, 1) * decay_s, draw)
    if (most_db := augmentation.tilt_db) and _happens(most_db, augmentation, draw):
        samples = _tilted(samples, rate_hz, most_db, draw)
    if (most_db := augmentation.gain_db) and _happens(most_db, augmentation, draw):
        samples = samples * np.float32(10 ** (draw.uniform(-1, 1) * most_db / 20))
    if _happens(augmentation.polarity, augmentation, draw):
        samples = -samples
    return samples


def _add_noise(
    samples: Samples,
    rate_hz: int,
    augmentation: Augmentation,
    draw: Generator,
    voices: Voices | None,
) -> Samples:
    """What else is in the recording: Gaussian noise, and other people's voices."""
    if (ratios := augmentation.noise_snr_db) and _happens(ratios, augmentation, draw):
        noise = draw.standard_normal(len(samples), dtype=np.float32)
        samples = with_noise(samples, noise, draw.uniform(*ratios))
    if (ratios := augmentation.babble_snr_db) and _happens(ratios, augmentation, draw):
        others = voices(draw, VOICES) if voices else _backwards(samples, rate_hz, draw)
        samples = with_noise(samples, babble(others, len(samples), draw), draw.uniform(*ratios))
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
    """Reverberation as noise that decays by 60 dB in `decay_s` after the direct sound.

    Source: Moorer 1979.
    """
    length = max(2, round(decay_s * rate_hz))
    time = np.arange(length) / length
    tail = draw.standard_normal(length) * 10 ** (-3 * time)
    response = 0.3 * tail / np.sqrt((tail**2).sum())
    response[0] = 1.0
    wet = torchaudio.functional.fftconvolve(
        torch.from_numpy(samples), torch.from_numpy(response.astype(np.float32))
    )
    return np.asarray(wet[: len(samples)])


def _tilted(samples: Samples, rate_hz: int, most_db: float, draw: Generator) -> Samples:
    """Another microphone: shelves at 300 Hz and at 2 kHz."""
    largest = float(np.abs(samples).max(initial=1e-6)) * 10 ** (2 * most_db / 20)
    found = torch.from_numpy(samples / np.float32(largest))  # the filters clip at 1
    bass, treble = draw.uniform(-most_db, most_db, 2)
    found = torchaudio.functional.bass_biquad(found, rate_hz, bass, central_freq=300.0)
    found = torchaudio.functional.treble_biquad(found, rate_hz, treble, central_freq=2_000.0)
    return np.asarray(found) * np.float32(largest)


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

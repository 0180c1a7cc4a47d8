"""A telephone call that is composed of the example calls: speech at known times."""

from pathlib import Path

import numpy as np

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples

RATE_HZ = 8_000
LENGTH_S = 32.0
STEP = RATE_HZ // 100
# from where in the example calls, to where in the call that is composed
AGENT = (
    ("announcement.opus", 3.9, 9.8, 1.0),
    ("announcement.opus", 9.75, 14.9, 11.0),
    ("announcement.opus", 16.6, 21.8, 21.5),
)
CUSTOMER = (
    ("support-ulaw.wav", 0.55, 7.65, 4.0),
    ("support-ulaw.wav", 43.4, 48.1, 13.5),
    ("support-ulaw.wav", 48.1, 52.2, 22.5),
)
Stretches = list[tuple[float, float]]


def trimmed(samples: Samples) -> Samples:
    """From the first to the last 10 ms within 30 dB of the loudest."""
    steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    power = np.square(steps).mean(axis=1)
    loud = np.flatnonzero(power > power.max() / 1_000)
    return steps[loud[0] : loud[-1] + 1].reshape(-1)


def composed(
    calls: Path, parts: tuple[tuple[str, float, float, float], ...]
) -> tuple[Samples, Stretches]:
    """One channel, and the times of speech on it."""
    line, spoken = np.zeros(round(LENGTH_S * RATE_HZ), np.float32), []
    for name, start_s, end_s, to_s in parts:
        part = load(str(calls / name), RATE_HZ)[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
        word = trimmed(part)
        at = round(to_s * RATE_HZ)
        line[at : at + len(word)] = word
        spoken.append((at / RATE_HZ, (at + len(word)) / RATE_HZ))
    return line, spoken

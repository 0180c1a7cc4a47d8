"""How well crosstalk is found: composed two-party calls whose channels leak into each other.

Two speakers take turns, in a third of the changes talk at the same time, and say short words while
the other one talks. Each channel leaks into the other through a telephone's band and an echo of
20 ms, by a gain and a delay that are known, and so it is known who talks when. Thresholds were
chosen on RAVDESS alone.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from results import SHARED, write_section

from batch_ser.audio import Samples, load
from batch_ser.segments import ChannelRegions, Envelopes, Region, SegmentSettings, Source, Speech
from train.augmentation import telephoned

RATE_HZ = 8_000
STEP = RATE_HZ // 100
CALLS = 4
TURNS = 16
GAINS_DB = (-10.0, -20.0, -30.0)
DELAYS_S = (0.0, 0.1, 0.3)
CODECS = {"none": DELAYS_S, "gsm": (0.1,)}  # with which delays
LEVEL = 0.05  # of speech; each side is up to 9 dB softer
SOFTER_DB = 9.0
NOISE_DB = -45.0  # of each channel, relative to its speech
PAUSE_S = (0.2, 1.5)
DOUBLE_TALK_S = (0.3, 2.0)
DOUBLE_TALK, WORD = 0.33, 0.3  # how often
WORD_S = (0.4, 1.0)
TRIM_DB = 30.0
ACTIVE_DB = 35.0  # below the loudest frame of a turn
CORPORA = {  # name: files, and how many parts of a path name the speaker
    "ravdess": "Actor_*/*.flac",
    "nemo": "*.opus",
    "speechocean": "*/*.opus",
    "interviews": "*/*.flac",
}


@dataclass(frozen=True)
class Call:
    """Both sides without leaks (frames, 2), and in which 10 ms frames each talks (steps, 2)."""

    samples: Samples
    active: NDArray[np.bool_]


@dataclass
class Counted:
    """Steps of one kind."""

    steps: int = 0
    taken: int = 0

    @property
    def percent(self) -> str:
        return f"{100 * self.taken / self.steps:.1f}" if self.steps else "-"


@dataclass
class Found:
    """Steps of 10 ms in regions of speech: all, and those that were taken for crosstalk."""

    leak: Counted = field(default_factory=Counted)  # the other side is there alone,
    alone: Counted = field(default_factory=Counted)  # the own side alone,
    both: Counted = field(default_factory=Counted)  # or both

    def add(self, own: NDArray[np.bool_], leak: NDArray[np.bool_], *, crosstalk: bool) -> None:
        """Add the steps (n,) of a region, in which either side is there."""
        for kind, steps in (
            (self.leak, leak & ~own),
            (self.alone, own & ~leak),
            (self.both, own & leak),
        ):
            kind.steps += int(steps.sum())
            kind.taken += int(steps.sum()) * crosstalk


def speakers(corpus: str) -> list[list[Path]]:
    """The recordings of each speaker."""
    found: dict[str, list[Path]] = {}
    for path in sorted((SHARED / "data" / corpus).glob(CORPORA[corpus])):
        nested = corpus in ("ravdess", "speechocean")
        name = path.parent.name if nested else path.name.partition("_")[0]
        found.setdefault(path.stem if corpus == "interviews" else name, []).append(path)
    return [*found.values()]


@cache
def calls(corpus: str) -> list[Call]:
    """Calls of two speakers of a corpus, drawn from one seed."""
    draw = np.random.default_rng(8)
    people = speakers(corpus)
    pairs = [draw.choice(len(people), 2, replace=False) for _ in range(CALLS)]
    return [compose([people[each] for each in pair], draw) for pair in pairs]


def compose(pair: Sequence[Sequence[Path]], draw: np.random.Generator) -> Call:
    levels = LEVEL * 10 ** (-draw.uniform(0, SOFTER_DB, 2) / 20)
    parts: list[tuple[int, int, Samples]] = []  # side, first frame, samples
    end = 0
    for number in range(TURNS):
        side = number % 2
        said = utterance(pair[side], draw) * np.float32(levels[side])
        pause_s = draw.uniform(*PAUSE_S)
        if number and draw.random() < DOUBLE_TALK:
            pause_s = -draw.uniform(*DOUBLE_TALK_S)
        start = max(0, end + round(pause_s * RATE_HZ))
        parts.append((side, start, said))
        end = max(end, start + len(said))
        if draw.random() < WORD:
            word = cut(utterance(pair[1 - side], draw), draw) * np.float32(levels[1 - side])
            latest = max(1, len(said) - len(word))
            parts.append((1 - side, start + int(draw.integers(latest)), word))
    total = max(start + len(said) for _, start, said in parts) + RATE_HZ
    samples, active = np.zeros((total, 2), np.float32), np.zeros((total // STEP + 1, 2), bool)
    for side, start, said in parts:
        samples[start : start + len(said), side] += said
        loud = power_db(said) > power_db(said).max() - ACTIVE_DB
        active[start // STEP : start // STEP + len(loud), side] |= loud
    noise = draw.standard_normal((total, 2)) * levels * 10 ** (NOISE_DB / 20)
    return Call(samples + noise.astype(np.float32), active)


def utterance(paths: Sequence[Path], draw: np.random.Generator) -> Samples:
    """A recording of up to 6 s, from its first loud frame to its last, with an RMS of 1."""
    samples = load(str(paths[draw.integers(len(paths))]), RATE_HZ)
    loud = np.flatnonzero(power_db(samples) > power_db(samples).max() - TRIM_DB)
    said = samples[loud[0] * STEP : (loud[-1] + 1) * STEP][: 6 * RATE_HZ]
    return said / np.float32(np.sqrt(np.mean(said**2)))


def cut(said: Samples, draw: np.random.Generator) -> Samples:
    length = min(len(said), round(draw.uniform(*WORD_S) * RATE_HZ))
    start = int(draw.integers(len(said) - length + 1))
    return said[start : start + length]


def power_db(samples: Samples) -> NDArray[np.float64]:
    steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    found: NDArray[np.float64] = 10 * np.log10(np.square(steps).mean(axis=1) + 1e-12)
    return found


def leaking(call: Call, gain_db: float | None, delay_s: float) -> Samples:
    """The call with the leak of each channel in the other; None: without."""
    if gain_db is None:
        return call.samples
    draw = np.random.default_rng(9)
    echo = draw.standard_normal(RATE_HZ // 50) * np.exp(-np.arange(RATE_HZ // 50) / 40)
    echo[0] = 3.0
    spectrum = np.fft.rfft(call.samples[:, ::-1], axis=0)
    hz = np.fft.rfftfreq(len(call.samples), 1 / RATE_HZ)
    path = np.fft.rfft(echo, len(call.samples)) * ((hz > 300) & (hz < 3_000))
    leak = np.fft.irfft(spectrum * path[:, None], len(call.samples), axis=0)
    leak *= np.sqrt(np.mean(call.samples[:, ::-1] ** 2) / np.mean(leak**2)) * 10 ** (gain_db / 20)
    delayed = np.zeros_like(call.samples)
    delay = round(delay_s * RATE_HZ)
    delayed[delay:] = leak[: len(leak) - delay]
    return call.samples + delayed


def coded(samples: Samples, codec: str) -> Samples:
    if codec == "none":
        return samples
    return np.stack([telephoned(samples[:, n].copy(), RATE_HZ, codec) for n in (0, 1)], 1)


def regions(samples: Samples, envelopes: Envelopes, side: int) -> list[Region]:
    """The regions of speech of one channel."""
    source = Source(RATE_HZ, 16_000)
    speech = Speech(source, SegmentSettings())
    detected = ChannelRegions(side, source, envelopes, [1 - side])
    wide = soxr.resample(np.ascontiguousarray(samples[:, side]), RATE_HZ, 16_000)
    for _ in speech(wide, len(samples)):
        pass
    detected.take(speech)
    return detected.regions


def judge(found: Found, call: Call, samples: Samples, delay_s: float) -> None:
    """Add the regions of a call; without a leak, `delay_s` is infinite."""
    envelopes = Envelopes(RATE_HZ)
    for block in [*np.array_split(samples, 7), None]:
        envelopes.append(block)
    for side in (0, 1):
        other = np.zeros_like(call.active[:, 0])
        if delay_s < np.inf:
            delay = round(delay_s * RATE_HZ) // STEP
            other = np.pad(call.active[:, 1 - side], (delay, 0))[: len(other)]
        for start, end, crosstalk in regions(samples, envelopes, side):
            steps = slice(start // STEP, end // STEP)
            found.add(call.active[steps, side], other[steps], crosstalk=crosstalk)


def row(corpus: str, codec: str, gain_db: float | None, delay_s: float) -> str:
    found = Found()
    for call in calls(corpus):
        samples = coded(leaking(call, gain_db, delay_s), codec)
        judge(found, call, samples, np.inf if gain_db is None else delay_s)
    leak = "none" if gain_db is None else f"{gain_db:g} dB, {1000 * delay_s:g} ms"
    kinds = (found.leak, found.alone, found.both)
    cells = [corpus, codec, leak, round(found.leak.steps * STEP / RATE_HZ)]
    return f"| {' | '.join(map(str, [*cells, *(each.percent for each in kinds)]))} |"


def main(corpora: Sequence[str]) -> None:
    lines = [
        "Percent of the sound in regions of speech of two-party calls that is taken for crosstalk:",
        "of a leak while its own side is silent (how many seconds there are), and, as a false",
        "alarm, of its own side's speech while the other side is silent, and while it talks. The",
        "part of a region by which it is judged, and the thresholds, were chosen on ravdess.",
        "",
        "| corpus | codec | leak | seconds | found | false: alone | false: both talk |",
        "|---|---|---|---|---|---|---|",
    ]
    for corpus in corpora:
        for codec, delays_s in CODECS.items():
            for gain_db, delay_s in [(None, 0.0), *product(GAINS_DB, delays_s)]:
                lines.append(row(corpus, codec, gain_db, delay_s))
                print(lines[-1], flush=True)
    if corpora == list(CORPORA):
        write_section("Crosstalk", "python benchmarks/crosstalk.py", lines)


if __name__ == "__main__":
    main(sys.argv[1:] or list(CORPORA))

"""Which channels of a recording are scored, and the samples of each."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from batch_ser.audio.samples import Samples
from batch_ser.errors import FileError, Reason, UsageError

SPLIT, MIX = "split", "mix"  # values of --channels besides numbers
MIXED = -1  # the channel number of a mixture in the tables
MIN_CORRELATION = 0.999  # of two channels with one signal: codecs leave at least this
COMPARED_S = 600.0  # of sound, on which that is decided
FRAMES_PER_S = 32  # of sound or silence
LONGEST = 9  # characters of a number; Python reads no more than 4,300 digits
MOST_SHOWN = 60  # characters of what is no list, in its error
SILENCE_RMS = 1e-3  # of a frame without sound, at most: -60 dB of full scale


def choose_channels(choice: str, channels: int) -> list[int]:
    """Channel numbers that are scored, for `split`, `mix` (only -1), or a list such as `0,1`.

    Raises:
        FileError: `bad_channels` if the recording lacks one of the list.
    """
    if choice == SPLIT:
        return list(range(channels))
    if choice == MIX:
        return [MIXED]
    chosen = parse_channels(choice)
    missing = [number for number in chosen if number >= channels]
    if missing:
        raise FileError(
            Reason.BAD_CHANNELS,
            f"--channels names channel {missing[0]}, the recording has {_all(channels)}",
        )
    return chosen


def _all(channels: int) -> str:
    return f"{channels} (0 to {channels - 1})" if channels > 1 else "only channel 0"


def parse_channels(choice: str) -> list[int]:
    """Channel numbers of a list such as `0,1`, in their order, whatever the list's.

    Raises:
        UsageError: not a list of different numbers from 0.
    """
    parts = choice.split(",")
    numbers = [int(part) for part in parts if part.strip().isdecimal() and len(part) <= LONGEST]
    if len(set(numbers)) < len(parts):
        found = choice if len(choice) <= MOST_SHOWN else f"{choice[:MOST_SHOWN]}..."
        raise UsageError(f"--channels {found}: expected split, mix, or numbers such as 0 or 0,1")
    return sorted(numbers)


def normal_choice(choice: str) -> str:
    """The value of `--channels`, written in one way: `1, 0` is `0,1`.

    Raises:
        UsageError: not split, mix, or a list of different numbers from 0.
    """
    if choice in (SPLIT, MIX):
        return choice
    return ",".join(map(str, parse_channels(choice)))


def channel(block: Samples, number: int) -> Samples:
    """One channel of a block (frames, channels) as (frames,); -1 mixes them all."""
    if number == MIXED:
        mixed: Samples = block.mean(axis=1, dtype=np.float32)
        return mixed
    return np.ascontiguousarray(block[:, number])


def same_signal(blocks: Iterable[Samples], rate_hz: int) -> bool:
    """Whether all channels of a recording carry one signal, at whatever level (dual mono).

    Decided on its first 10 minutes with sound, however long the silence before, and whatever the
    blocks: sums are added up frame by frame. `blocks` (frames, channels) are read until that is
    known. Silence in all channels is no signal, and so not the same one.
    """
    sums: NDArray[np.float64] | None = None
    remaining = round(COMPARED_S * FRAMES_PER_S)
    for frames in _frames(blocks, rate_hz // FRAMES_PER_S):
        for each in _sums(frames)[:remaining]:
            sums = each.copy() if sums is None else sums + each
            remaining -= 1
        if not remaining:
            break
    return sums is not None and bool((_correlations(*sums) > MIN_CORRELATION).all())


def _frames(blocks: Iterable[Samples], length: int) -> Iterator[Samples]:
    """Blocks as whole frames (n, length, channels), without the rest at the end."""
    pending: Samples | None = None
    for block in blocks:
        waiting = block if pending is None else np.concatenate([pending, block])
        whole = len(waiting) - len(waiting) % length
        pending = waiting[whole:]
        yield waiting[:whole].reshape(-1, length, waiting.shape[1])


def _sums(frames: Samples) -> NDArray[np.float64]:
    """Of each frame with sound (n, 4, channels): count, sum, squares, product with channel 0."""
    level = np.sqrt(np.square(frames).mean(axis=1)).max(axis=1)
    loud = frames[level > SILENCE_RMS].astype(np.float64)
    counts = np.full((len(loud), loud.shape[2]), float(loud.shape[1]))
    products = np.einsum("nlc,nl->nc", loud, loud[:, :, 0])
    squares = np.einsum("nlc,nlc->nc", loud, loud)
    return np.stack([counts, loud.sum(axis=1), squares, products], axis=1)


def _correlations(
    counts: NDArray[np.float64],
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    products: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Correlation of each channel with channel 0; 0 where one of them is constant."""
    together = products - sums * sums[0] / counts
    spread = squares - sums * sums / counts
    scale = np.sqrt(np.maximum(spread * spread[0], 0.0))
    constant = spread <= 1e-12 * squares  # what rounding leaves of a constant
    scale[constant | constant[0]] = np.inf
    correlations: NDArray[np.float64] = together / scale
    return correlations

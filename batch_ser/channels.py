"""Which channels of a recording are scored, and what each of them hears."""

import numpy as np

from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.samples import Samples

MIXED = -1  # the channel number of a mixture in the tables


def choose_channels(choice: str, channels: int) -> list[int]:
    """Channel numbers that are scored, for `split`, `mix` (only -1), or a list such as `0,1`.

    Raises:
        FileError: `bad_channels` if the recording lacks one that is asked for.
    """
    if choice == "split":
        return list(range(channels))
    if choice == "mix":
        return [MIXED]
    wanted = parse_channels(choice)
    missing = [number for number in wanted if number >= channels]
    if missing:
        raise FileError(
            Reason.BAD_CHANNELS,
            f"channel {missing[0]} was asked for, the recording has {channels} (0 to "
            f"{channels - 1})",
        )
    return wanted


def parse_channels(choice: str) -> list[int]:
    """Channel numbers of a list such as `0,1`.

    Raises:
        UsageError: not a list of different numbers from 0.
    """
    parts = choice.split(",")
    if not all(part.strip().isdigit() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UsageError(f"--channels {choice}: expected split, mix, or numbers such as 0 or 0,1")
    return [int(part) for part in parts]


def channel(block: Samples, number: int) -> Samples:
    """One channel of a block (frames, channels) as (frames,); -1 mixes them all."""
    if number == MIXED:
        mixed: Samples = block.mean(axis=1, dtype=np.float32)
        return mixed
    return np.ascontiguousarray(block[:, number])

"""Which channels of a file are scored."""

from collections.abc import Generator
from contextlib import closing
from typing import cast

from batch_ser.audio import Reading, Recording
from batch_ser.channels import SPLIT, choose_channels, same_signal
from batch_ser.errors import FileError, Reason
from batch_ser.samples import Samples
from jobs.books import DUAL_MONO, FileBooks


def chosen_channels(
    owner: FileBooks, recording: Recording, choice: str, reading: Reading
) -> list[int]:
    """The channels to be scored: those that were chosen, and given segments are of.

    Raises:
        FileError: `bad_channels`, the recording lacks one.
    """
    numbers = choose_channels(choice, recording.channels)
    named = {each.channel for each in owner.asked if each.channel is not None}
    if named and max(named) >= recording.channels:
        raise FileError(
            Reason.BAD_CHANNELS,
            f"the manifest gives a segment of channel {max(named)}, the recording has "
            f"{recording.channels} (0 to {recording.channels - 1})",
        )
    if (
        choice == SPLIT
        and not named
        and len(numbers) > 1
        and _is_dual_mono(owner.file.path, reading)
    ):
        owner.notes.append(DUAL_MONO)
        return numbers[:1]
    return [number for number in numbers if owner.asked_of(number)] if owner.asked else numbers


def _is_dual_mono(path: str, reading: Reading) -> bool:
    """Look at a recording's first minutes before it is heard: decoding is cheap, scoring is not."""
    recording = Recording(path, reading)
    blocks = cast("Generator[Samples, None, None]", recording.blocks())
    with closing(blocks):  # and with them the file
        return same_signal(blocks, recording.rate_hz)

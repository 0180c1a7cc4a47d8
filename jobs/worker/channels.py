"""Which channels of a file are scored."""

from collections.abc import Generator
from contextlib import closing
from typing import cast

from batch_ser.audio import SPLIT, Reading, Recording, Samples, choose_channels, same_signal
from batch_ser.errors import FileError, Reason
from jobs.worker.accounts import DUAL_MONO, FileBooks


def opened(owner: FileBooks, choice: str, reading: Reading) -> tuple[Recording, list[int]]:
    """The recording, entered in the books, and its channels to be scored.

    The books know what it is before anything else can fail. Where two channels may carry one
    signal, its first minutes are heard before it is opened for its pass: never two of it are open,
    since the index of a long MP4 takes a hundred megabytes.

    Raises:
        FileError: it cannot be opened; `bad_channels`, it lacks one that is asked for.
    """
    recording = Recording(owner.file.path, reading)
    owner.open(recording, [])
    try:
        numbers = _asked_channels(owner, recording, choice)
        if choice == SPLIT and len(numbers) > 1 and not _named(owner):
            dual_mono = _is_dual_mono(recording)
            recording = Recording(owner.file.path, reading)
            if dual_mono:
                owner.notes.append(DUAL_MONO)
                numbers = numbers[:1]
    except FileError:
        recording.close()
        raise
    if owner.asked and DUAL_MONO not in owner.notes:
        numbers = [number for number in numbers if owner.asked_of(number)]
    owner.open(recording, numbers)
    return recording, numbers


def _named(owner: FileBooks) -> set[int]:
    """The channels that given segments name."""
    return {each.channel for each in owner.asked if each.channel is not None}


def _asked_channels(owner: FileBooks, recording: Recording, choice: str) -> list[int]:
    numbers = choose_channels(choice, recording.channels)
    named = _named(owner)
    if named and max(named) >= recording.channels:
        raise FileError(
            Reason.BAD_CHANNELS,
            f"the manifest gives a segment of channel {max(named)}, the recording has "
            f"{recording.channels} (0 to {recording.channels - 1})",
        )
    return numbers


def _is_dual_mono(recording: Recording) -> bool:
    """Look at a recording's first minutes, and close it: decoding is cheap, scoring is not."""
    blocks = cast("Generator[Samples, None, None]", recording.blocks())
    with closing(blocks):  # and with them the file
        return same_signal(blocks, recording.rate_hz)

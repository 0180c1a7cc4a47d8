"""The channels of a recording that are scored."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from batch_ser.audio import SPLIT, Reading, Recording, Samples, choose_channels, same_signal
from batch_ser.errors import FileError, Reason
from batch_ser.inputs import GivenSegment

DUAL_MONO = "dual_mono"  # a note on good rows, beside those of the recording


@dataclass(frozen=True)
class OpenRecording:
    """A recording that was opened, the channels of it that are scored, and notes for its row.

    With an `error`, which came after its header was read, the recording is closed.
    """

    recording: Recording
    numbers: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    error: Exception | None = None


def open_recording(
    path: str, reading: Reading, choice: str, given: Sequence[GivenSegment] = ()
) -> OpenRecording:
    """Open a recording to decode it, and choose its channels by `--channels` and given segments.

    Where its channels may carry one signal, its first minutes are decoded, and it is opened again
    after that: two at once would take twice the memory, and the index of a long MP4 takes a hundred
    megabytes.

    Raises:
        FileError: it cannot be opened.
    """
    recording = Recording(path, reading)
    try:
        numbers = _chosen(recording.channels, choice, given)
        if choice == SPLIT and len(numbers) > 1 and not _named(given):
            dual_mono = _is_dual_mono(recording)
            recording = Recording(path, reading)
            if dual_mono:
                return OpenRecording(recording, tuple(numbers[:1]), (DUAL_MONO,))
        if given:
            numbers = [number for number in numbers if given_of(given, number)]
        return OpenRecording(recording, tuple(numbers))
    except Exception as error:
        recording.close()
        return OpenRecording(recording, error=error)


def given_of(given: Sequence[GivenSegment], number: int) -> list[GivenSegment]:
    """The given segments of one channel: those that name it, and those that name none."""
    return [each for each in given if each.channel in (None, number)]


def _named(given: Sequence[GivenSegment]) -> set[int]:
    return {each.channel for each in given if each.channel is not None}


def _chosen(channels: int, choice: str, given: Sequence[GivenSegment]) -> list[int]:
    numbers = choose_channels(choice, channels)
    last = max(_named(given), default=0)
    if last >= channels:
        raise FileError(
            Reason.BAD_CHANNELS,
            f"the manifest gives a segment of channel {last}, the recording has "
            f"{channels} (0 to {channels - 1})",
        )
    return numbers


def _is_dual_mono(recording: Recording) -> bool:
    """Compare the channels in a recording's first minutes, and close it.

    Decoding is cheap, scoring is not.
    """
    blocks = cast("Generator[Samples, None, None]", recording.blocks())
    with closing(blocks):  # which closes the file
        return same_signal(blocks, recording.rate_hz)

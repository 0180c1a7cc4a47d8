"""The channels of a recording: which are decoded, which of them scored, and who speaks on each."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import cast

from batch_ser.audio import SPLIT, Reading, Recording, Samples, choose_channels, same_signal
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs import GivenSegment, Roles, parse_roles

DUAL_MONO = "dual_mono"  # a note on good rows, beside those of the recording


@dataclass(frozen=True)
class ChannelChoice:
    """What options and manifest state of the channels of a recording."""

    channels: str = SPLIT  # `--channels`
    given: Sequence[GivenSegment] = ()
    roles: Roles = field(default_factory=dict)  # `--roles`
    own_roles: str = ""  # those of the manifest's line, which count instead
    score: str | None = None  # the one role that is scored
    detects: bool = True  # speech is detected, also on channels that are not scored


@dataclass(frozen=True)
class OpenRecording:
    """A recording that was opened, its channels, and notes for its row.

    With an `error`, which came after its header was read, the recording is closed.
    """

    recording: Recording
    numbers: tuple[int, ...] = ()  # channels that are chosen: speech may be detected,
    scored: tuple[int, ...] = ()  # and these are scored
    roles: Roles = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: Exception | None = None


def open_recording(path: str, reading: Reading, choice: ChannelChoice) -> OpenRecording:
    """Open a recording to decode it, and choose its channels by options, given segments and roles.

    Where its channels may carry one signal, its first minutes are decoded, and it is opened again
    after that: two at once would take twice the memory, and the index of a long MP4 takes a hundred
    megabytes.

    Raises:
        FileError: it cannot be opened.
    """
    recording = Recording(path, reading)
    try:
        roles = _roles_of(choice, recording.channels)
        numbers = _chosen(recording.channels, choice)
        if _may_be_dual_mono(choice, numbers):
            dual_mono = _is_dual_mono(recording)
            recording = Recording(path, reading)
            if dual_mono:
                return _dual_mono(recording, choice, numbers)
        scored = [each for each in numbers if choice.score in (None, roles.get(each))]
        if choice.given:
            scored = [each for each in scored if given_of(choice.given, each)]
        chosen = numbers if choice.detects else scored
        return OpenRecording(recording, tuple(chosen), tuple(scored), roles)
    except Exception as error:
        recording.close()
        return OpenRecording(recording, error=error)


def given_of(given: Sequence[GivenSegment], number: int) -> list[GivenSegment]:
    """The given segments of one channel: those that name it, and those that name none."""
    return [each for each in given if each.channel in (None, number)]


def _named(given: Sequence[GivenSegment]) -> set[int]:
    return {each.channel for each in given if each.channel is not None}


def _roles_of(choice: ChannelChoice, channels: int) -> Roles:
    """The roles of a recording's channels; none where those of `--roles` do not fit it.

    Raises:
        FileError: `bad_channels`, those of the manifest do not fit it; `role_missing`, it has no
            channel with the role that is scored, and of that alone.
    """
    roles = choice.roles
    if choice.own_roles:
        try:
            roles = parse_roles(choice.own_roles)
        except UsageError as error:
            raise FileError(Reason.ROLE_MISSING, f"the manifest's roles: {error}") from error
    last = max(roles, default=0)
    if choice.own_roles and last >= channels and (choice.score is None or channels > 1):
        raise FileError(
            Reason.BAD_CHANNELS,
            f"the manifest gives a role to channel {last}, the recording has {channels} (0 to "
            f"{channels - 1})",
        )
    if choice.score is not None:
        _check_scored(choice.score, roles, channels)
    return (
        roles if last < channels else {}
    )  # of a mono recording, say, which holds the voices of all


def _check_scored(score: str, roles: Roles, channels: int) -> None:
    if channels == 1:
        raise FileError(
            Reason.ROLE_MISSING,
            f"a mono recording, which may hold the voices of all roles; --score {score} needs a "
            "channel of its own",
        )
    if not any(role == score and number < channels for number, role in roles.items()):
        raise FileError(
            Reason.ROLE_MISSING,
            f"none of its {channels} channels has the role {score} (--score); expected --roles, or "
            "the manifest's column roles, with a channel of it",
        )


def _chosen(channels: int, choice: ChannelChoice) -> list[int]:
    numbers = choose_channels(choice.channels, channels)
    last = max(_named(choice.given), default=0)
    if last >= channels:
        raise FileError(
            Reason.BAD_CHANNELS,
            f"the manifest gives a segment of channel {last}, the recording has "
            f"{channels} (0 to {channels - 1})",
        )
    return numbers


def _may_be_dual_mono(choice: ChannelChoice, numbers: Sequence[int]) -> bool:
    """Whether the channels have to be compared: under `--score` always."""
    if choice.channels != SPLIT or len(numbers) == 1:
        return False
    return choice.score is not None or not _named(choice.given)


def _is_dual_mono(recording: Recording) -> bool:
    """Compare the channels in a recording's first minutes, and close it.

    Decoding is cheap, scoring is not.
    """
    blocks = cast("Generator[Samples, None, None]", recording.blocks())
    with closing(blocks):  # which closes the file
        return same_signal(blocks, recording.rate_hz)


def _dual_mono(
    recording: Recording, choice: ChannelChoice, numbers: Sequence[int]
) -> OpenRecording:
    """A recording whose channels carry one signal: one of them, without a role, is scored.

    Raises:
        FileError: `role_missing`, one role alone is to be scored.
    """
    if choice.score is not None:
        raise FileError(
            Reason.ROLE_MISSING,
            f"all channels carry one signal, with the voices of all roles; --score {choice.score} "
            "needs a channel of its own",
        )
    first = tuple(numbers[:1])
    return OpenRecording(recording, first, first, notes=(DUAL_MONO,))

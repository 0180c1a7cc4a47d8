"""Crosstalk: which speech on a channel is another channel's, and that alone is silenced."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from segments import cuts, split
from telephone_call import RATE_HZ, composed

from batch_ser.audio.samples import Samples
from batch_ser.segments import (
    ChannelRegions,
    Envelopes,
    Gate,
    Region,
    SegmentSettings,
    Source,
    Speech,
    channel_regions,
)
from batch_ser.segments.crosstalk import FLOOR, FRAMES_PER_S

AGENT = (("announcement.opus", 3.9, 9.8, 1.0), ("announcement.opus", 16.6, 21.8, 24.5))
CUSTOMER = (("support-ulaw.wav", 0.55, 7.65, 7.8), ("support-ulaw.wav", 43.4, 48.1, 17.5))
LEAKS_S = [(1.0, 6.9), (24.5, 29.7)]  # of the agent in the customer's channel
SOURCE = Source(RATE_HZ, RATE_HZ)


@pytest.fixture(scope="module")
def sides(calls: Path) -> Samples:
    """Agent and customer, who take turns, with the noise of a line: (frames, 2)."""
    both = np.stack([composed(calls, parts)[0] for parts in (AGENT, CUSTOMER)], 1)
    noise = np.random.default_rng(1).standard_normal(both.shape).astype(np.float32)
    return both + np.float32(1e-4) * noise


def leaking(sides: Samples, gain_db: float, delay_s: float) -> Samples:
    """The agent's voice, also in the customer's channel."""
    found, delay = sides.copy(), round(delay_s * RATE_HZ)
    leak = sides[: len(sides) - delay, 0] * np.float32(10 ** (gain_db / 20))
    found[delay:, 1] += leak
    return found


def envelopes_of(samples: Samples, where: list[int] | None = None) -> Envelopes:
    envelopes = Envelopes(RATE_HZ)
    for block in [*split(samples, where or []), None]:
        envelopes.append(block)
    return envelopes


def found_in(samples: Samples, where: list[int], number: int = 1) -> tuple[ChannelRegions, Samples]:
    """The regions of a channel that comes in blocks, and what its gate lets through."""
    envelopes = Envelopes(RATE_HZ)
    detected = ChannelRegions(number, SOURCE, envelopes, [1 - number])
    speech, gate, passed = Speech(SOURCE, SegmentSettings()), Gate(SOURCE, detected), []
    for block in [*split(samples, where), None]:
        envelopes.append(block)
        own = samples[:0, number] if block is None else block[:, number]
        for _ in speech(own, len(samples) if block is None else None):
            pass
        detected.take(speech)
        passed.append(gate(own, last=block is None))
        envelopes.drop(detected.settled)
    return detected, np.concatenate(passed)


@pytest.mark.parametrize("gain_db", [-10, -20, -30])
@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.3])
def test_a_leak_is_found_and_silenced(sides: Samples, gain_db: float, delay_s: float) -> None:
    samples = leaking(sides, gain_db, delay_s)
    detected, passed = found_in(samples, [40_000, 90_000])
    own = [region for region in detected.regions if not region.crosstalk]
    leaks = [region for region in detected.regions if region.crosstalk]
    for start_s, end_s in ((7.8, 14.9), (17.5, 22.2)):
        assert sum(start_s - 0.5 < each.start / RATE_HZ < end_s for each in own) > 0
    assert all(7.3 < each.start / RATE_HZ < 22.5 for each in own)
    assert leaks
    for each in leaks:
        assert any(s - 0.1 < each.start / RATE_HZ < e + delay_s for s, e in LEAKS_S)
        assert not passed[each.start : each.end].any()
    expected = samples[:, 1].copy()
    for each in leaks:
        expected[each.start : each.end] = 0
    assert np.array_equal(passed, expected)


def test_speech_of_two_people_is_no_crosstalk(sides: Samples) -> None:
    for number in (0, 1):
        detected, passed = found_in(sides, [], number)
        assert len(detected.regions) > 1
        assert not any(each.crosstalk for each in detected.regions)
        assert np.array_equal(passed, sides[:, number])


def test_who_speaks_at_the_same_time_is_no_crosstalk(sides: Samples) -> None:
    """Even as both leak into each other."""
    together = np.stack([sides[:, 0], np.roll(sides[:, 1], -6 * RATE_HZ)], 1)
    mixed = together + np.float32(0.1) * together[:, ::-1]
    detected, _ = found_in(mixed, [])
    talk = [each for each in detected.regions if each.start < 8 * RATE_HZ]
    assert talk
    assert share_of_crosstalk(talk) < 0.1, "but for pauses, in which the other side is audible"


@pytest.mark.parametrize(("gain_db", "delay_s"), [(0.0, 0.1), (-3.0, 0.1), (-20.0, 1.0)])
def test_what_is_as_loud_or_much_later_is_no_crosstalk(
    sides: Samples, gain_db: float, delay_s: float
) -> None:
    detected, _ = found_in(leaking(sides, gain_db, delay_s), [])
    assert share_of_crosstalk(detected.regions) < 0.1


def share_of_crosstalk(regions: Sequence[Region]) -> float:
    total = sum(each.end - each.start for each in regions)
    return sum(each.end - each.start for each in regions if each.crosstalk) / total


@given(where=cuts)
@settings(max_examples=15)
def test_blocks_change_nothing(sides: Samples, where: list[int]) -> None:
    samples = leaking(sides, -20.0, 0.1)
    one, passed = found_in(samples, [])
    other, passed_too = found_in(samples, where)
    assert one.regions == other.regions
    assert np.array_equal(passed, passed_too)


@given(where=cuts, part_s=st.floats(0.3, 3.0))
@settings(max_examples=15)
def test_a_long_region_is_judged_before_its_end(
    sides: Samples, where: list[int], part_s: float
) -> None:
    """In parts, however the sound arrives; what waits stays short."""
    samples = leaking(sides, -20.0, 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel_regions, "PART_S", part_s)
        one, passed = found_in(samples, [])
        other, passed_too = found_in(samples, [*range(0, len(samples), 800), *where])
    assert one.regions == other.regions
    assert np.array_equal(passed, passed_too)
    assert any(each.crosstalk for each in one.regions)


@given(rate_hz=st.integers(4_000, 48_000), length=st.integers(0, 9_000), where=cuts)
def test_envelopes_are_the_power_of_frames(rate_hz: int, length: int, where: list[int]) -> None:
    draw = np.random.default_rng(length)
    samples = draw.standard_normal((length, 2)).astype(np.float32) + np.float32(0.5)
    envelopes = Envelopes(rate_hz)
    for block in [*split(samples, where), None]:
        envelopes.append(block)
    edges = [-(-frame * rate_hz // FRAMES_PER_S) for frame in range(length)]
    edges = [*(each for each in edges if each < length), length]
    expected = [samples[s:e].astype(float).var(axis=0) + FLOOR for s, e in pairwise(edges)]
    found = envelopes.powers
    assert found.shape == (len(expected), 2) or not length
    assert np.allclose(found, expected or found, rtol=1e-6)


def test_regions_of_speech_are_apart_and_not_short(sides: Samples) -> None:
    """Each lies in an utterance, or one that is too short."""
    for number in (0, 1):
        speech = Speech(SOURCE, SegmentSettings())
        spans = [*speech(sides[:, number].copy(), len(sides))]
        spoken = np.zeros(len(sides), bool)
        for span in spans:
            spoken[span.start : span.end] = span.kind in ("scored", "too_short")
        edges = [at for region in speech.regions for at in region]
        assert edges == sorted(edges)
        assert all(end - start >= RATE_HZ // 4 for start, end in speech.regions)
        for start, end in speech.regions:
            assert spoken[start:end].mean() > 0.95

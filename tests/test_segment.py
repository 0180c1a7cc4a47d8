"""Segments: any way of cutting a signal into blocks gives the same ones, and they cover it."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_ser.errors import UsageError
from batch_ser.samples import Samples
from batch_ser.segment import METHODS, Kind, SegmentSettings, Span, in_pieces
from batch_ser.segmenters import SEGMENTERS
from batch_ser.silero import FRAME, Detector, Regions

RATE_HZ = 16_000
NONE = np.zeros(0, np.float32)


def spans(settings: SegmentSettings, blocks: list[Samples], rate_hz: int) -> list[Span]:
    segmenter = SEGMENTERS[settings.method](rate_hz, settings)
    found = [span for block in blocks for span in segmenter(block, last=False)]
    return found + list(segmenter(NONE, last=True))


def assert_same(left: list[Span], right: list[Span]) -> None:
    assert [span[:3] + span[4:] for span in left] == [span[:3] + span[4:] for span in right]
    for one, other in zip(left, right, strict=True):
        assert (one.samples is None) == (other.samples is None)
        if one.samples is not None and other.samples is not None:
            assert np.array_equal(one.samples, other.samples)


def assert_covers(found: list[Span], total: int) -> None:
    """In order, without a hole, to the last sample."""
    reached = 0
    for span in found:
        assert span.start <= reached
        reached = max(reached, span.end)
    assert reached == total


cuts = st.lists(st.integers(0, 100_000), max_size=8)


@given(
    total=st.integers(1, 5_000),
    window=st.integers(10, 700),
    hop=st.integers(10, 900),
    least=st.integers(1, 400),
    piece=st.integers(5, 300),
    method=st.sampled_from(["window", "whole"]),
    cuts=cuts,
)
def test_windows_and_wholes(
    total: int, window: int, hop: int, least: int, piece: int, method: str, cuts: list[int]
) -> None:
    """At 100 Hz, so that many cases are small."""
    chosen = SegmentSettings(
        method, window / 100, hop / 100, least / 100, max(8.0, least / 50), piece / 100
    )
    signal = np.arange(total, dtype=np.float32)
    whole = spans(chosen, [signal], 100)
    assert_same(whole, spans(chosen, np.split(signal, sorted(c % total for c in cuts)), 100))
    assert_covers(whole, total)
    for span in whole:
        if span.samples is not None:
            assert 0 < len(span.samples) <= piece
            assert span.samples[-1] == span.end - 1  # what is heard ends where the span ends
        elif span.kind is Kind.TOO_SHORT:
            assert span.end - span.start < least


def test_every_method_has_its_segmenter() -> None:
    assert tuple(SEGMENTERS) == METHODS


def test_windows_as_a_user_expects() -> None:
    signal = np.zeros(1_030, np.float32)
    chosen = SegmentSettings("window", window_s=4.0, hop_s=4.0, min_s=0.5)
    found = spans(chosen, [signal], 100)
    assert [(s.kind, s.start, s.end) for s in found] == [
        (Kind.SCORED, 0, 400),
        (Kind.SCORED, 400, 800),
        (Kind.SCORED, 800, 1_030),
    ]


@given(length=st.integers(1, 500), most=st.integers(1, 120))
def test_pieces_of_a_long_segment(length: int, most: int) -> None:
    """Consecutive; the last one hears the final `most` samples; only the last closes."""
    pieces = list(in_pieces(7, np.arange(length, dtype=np.float32), most))
    assert [p.start for p in pieces] + [7 + length] == [7] + [p.end for p in pieces]
    assert [p.closes for p in pieces] == [False] * (len(pieces) - 1) + [True]
    for piece in pieces:
        assert piece.samples is not None
        assert len(piece.samples) == min(most, length)


def frames_of(samples: Samples) -> Samples:
    return np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)


def test_regions_are_silero_s_own(speech: Samples) -> None:
    import torch
    from silero_vad import get_speech_timestamps, load_silero_vad

    model = load_silero_vad(onnx=True)
    expected = get_speech_timestamps(
        torch.from_numpy(speech), model, sampling_rate=RATE_HZ, speech_pad_ms=0
    )
    regions = Regions()
    regions.update(Detector()(frames_of(speech)))
    regions.finish(len(speech))
    assert len(expected) > 5
    assert regions.closed == [(region["start"], region["end"]) for region in expected]


def test_the_detector_carries_its_state(speech: Samples) -> None:
    frames = frames_of(speech)
    whole, detector = Detector()(frames), Detector()
    parts = np.concatenate([detector(part) for part in np.split(frames, [1, 2, 70, 300])])
    assert np.abs(parts - whole).max() < 1e-4


@settings(max_examples=12, deadline=None)
@given(
    cuts=cuts,
    max_s=st.sampled_from([1.5, 3.0, 8.0]),
    min_s=st.sampled_from([0.1, 0.5, 0.75]),
    rate_hz=st.sampled_from([16_000, 22_050]),
)
def test_speech_does_not_depend_on_blocks(
    speech: Samples, cuts: list[int], max_s: float, min_s: float, rate_hz: int
) -> None:
    chosen = SegmentSettings("speech", max_s=max_s, min_s=min_s)
    signal = speech[: 9 * rate_hz]
    whole = spans(chosen, [signal], rate_hz)
    parts = np.split(signal, sorted(c % len(signal) for c in cuts))
    assert_same(whole, spans(chosen, parts, rate_hz))
    assert_covers(whole, len(signal))
    for span in whole:
        if span.kind is Kind.SCORED:
            assert span.end - span.start <= max_s * rate_hz + 2 * FRAME


def test_speech_is_found_between_silences(speech: Samples) -> None:
    word = speech[4 * RATE_HZ : 6 * RATE_HZ]  # nothing but speech
    silence = np.zeros(2 * RATE_HZ, np.float32)
    found = spans(SegmentSettings("speech"), [np.concatenate([silence, word, silence])], RATE_HZ)
    scored = [span for span in found if span.kind is Kind.SCORED]
    assert len(scored) == 1
    assert scored[0].start / RATE_HZ == pytest.approx(1.9, abs=0.3)
    assert scored[0].end / RATE_HZ == pytest.approx(4.1, abs=0.3)


def test_long_speech_is_cut_where_it_is_quiet(speech: Samples) -> None:
    """Continuous speech with one quiet 60 ms in it, at 3.0 s: the cut falls there."""
    word = speech[4 * RATE_HZ : 5 * RATE_HZ]  # nothing but speech
    signal = np.tile(word, 6)
    signal[3 * RATE_HZ : 3 * RATE_HZ + 960] *= 1e-4
    found = spans(SegmentSettings("speech", max_s=4.0), [signal], RATE_HZ)
    ends = [span.end / RATE_HZ for span in found if span.kind is Kind.SCORED]
    assert ends[0] == pytest.approx(3.03, abs=0.04)


def test_a_short_word_is_too_short(speech: Samples) -> None:
    word = speech[4 * RATE_HZ : 5 * RATE_HZ]  # nothing but speech
    silence = np.zeros(2 * RATE_HZ, np.float32)
    chosen = SegmentSettings("speech", min_s=3.0, max_s=8.0)
    found = spans(chosen, [np.concatenate([silence, word, silence])], RATE_HZ)
    assert Counter(span.kind for span in found)[Kind.TOO_SHORT] == 1
    assert not any(span.kind is Kind.SCORED for span in found)


def test_an_hour_of_silence_is_let_go() -> None:
    segmenter = SEGMENTERS["speech"](RATE_HZ, SegmentSettings("speech"))
    silence = np.zeros(RATE_HZ * 20, np.float32)
    reached = 0
    for _ in range(9):
        for span in segmenter(silence, last=False):
            assert span.kind is Kind.NOT_SPEECH
            reached = span.end
    assert reached > 165 * RATE_HZ


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"method": "words"}, "speech, window, whole"),
        ({"window_s": 0.0}, "--window-s"),
        ({"min_s": -1.0}, "--min-s"),
        ({"max_s": 0.6, "min_s": 0.5}, "--max-s"),
        ({"window_s": 9_999.0}, "--segment whole"),
    ],
)
def test_settings_that_cannot_work(wrong: dict[str, float | str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SegmentSettings(**wrong)  # type: ignore[arg-type]


def test_settings_come_from_the_command_line_first() -> None:
    defaults = {"piece_s": 3.0, "min_s": 0.7}
    assert SegmentSettings.resolve({}, defaults).max_s == 3.0
    chosen = SegmentSettings.resolve({"window_s": 2.0, "min_s": None}, defaults)
    assert (chosen.hop_s, chosen.min_s) == (2.0, 0.7)

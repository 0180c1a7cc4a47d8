"""Times are exact to one sample of the source's own clock, at any rate, after hours."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from results import assert_holds, score, tables
from segments import NONE

from batch_ser.audio.samples import Samples
from batch_ser.segments.segmenter import Kind, SegmentSettings, Source, at_rate
from batch_ser.segments.segmenters import SEGMENTERS
from jobs.worker.streams import ChannelStream

RATES_HZ = [8_000, 11_025, 12_000, 16_000, 22_050, 44_100, 48_000]
rates = st.sampled_from(RATES_HZ)


@given(position=st.integers(0, 2**50), from_hz=rates, to_hz=rates)
def test_a_position_on_another_clock(position: int, from_hz: int, to_hz: int) -> None:
    exact = Fraction(position * to_hz, from_hz)
    assert abs(at_rate(position, from_hz, to_hz) - exact) <= Fraction(1, 2)
    assert at_rate(position, from_hz, from_hz) == position


def segmented(
    signal: Samples, blocks: list[int], source: Source, chosen: SegmentSettings
) -> tuple[ChannelStream, list[tuple[int, int, float]]]:
    """A channel, resampled and cut: its segments, and how many seconds of samples each has."""
    stream, lengths_s = ChannelStream(0, source, chosen), dict[int, float]()
    parts = np.split(signal, sorted(cut % (len(signal) + 1) for cut in blocks))
    for part in [*parts, NONE]:
        last = part is NONE
        for piece in stream.pieces(stream.resample(part, last=last), last=last):
            before = lengths_s.get(id(piece.means), 0.0)
            lengths_s[id(piece.means)] = before + len(piece.samples) / source.rate_hz
    return stream, [(each.start, each.end, lengths_s[id(each.means)]) for each in stream.scores]


@settings(max_examples=60)
@given(
    source_hz=rates,
    network_hz=st.sampled_from([8_000, 16_000, 22_050]),
    total=st.integers(1, 200_000),
    window_ms=st.integers(10, 5_000),
    hop_ms=st.integers(100, 5_000),
    blocks=st.lists(st.integers(0, 10**6), max_size=4),
)
def test_windows_of_any_rate(
    source_hz: int, network_hz: int, total: int, window_ms: int, hop_ms: int, blocks: list[int]
) -> None:
    """The n-th window begins at n hops, and has as many samples as its times state."""
    chosen = SegmentSettings("window", window_ms / 1000, hop_ms / 1000, min_s=0.05)
    signal = np.zeros(total, np.float32)
    stream, found = segmented(signal, blocks, Source(source_hz, network_hz), chosen)
    assert stream.frames.total() == total
    hop, window = (Fraction(ms * source_hz, 1000) for ms in (hop_ms, window_ms))
    full = [n for n in range(len(found)) if round(n * hop + window) <= total]
    assert len(found) - len(full) in (0, 1)  # a shorter last one
    for number, (start, end, length_s) in enumerate(found):
        assert start == round(number * hop)
        assert end == (round(number * hop + window) if number in full else total)
        assert length_s == pytest.approx((end - start) / source_hz, abs=1.001 / network_hz)


def test_windows_do_not_drift() -> None:
    """Three hours of windows of a third of a second; samples come at 100 Hz to be few."""
    source = Source(44_100, 100)
    window = SEGMENTERS["window"](source, SegmentSettings("window", 0.333, 0.333))
    starts = []
    for _ in range(3 * 60):
        starts += [span.start for span in window(np.zeros(6_000, np.float32))]
    assert len(starts) == 3 * 3_600 * 1_000 // 333
    assert all(abs(start - number * 0.333 * 44_100) < 0.501 for number, start in enumerate(starts))


@pytest.mark.parametrize("method", ["window", "whole", "speech"])
def test_less_than_a_sample_of_the_network_is_accounted_for(method: str) -> None:
    stream, found = segmented(
        np.zeros(2, np.float32), [], Source(48_000, 8_000), SegmentSettings(method)
    )
    assert not found
    assert stream.frames.total() == 2
    assert stream.frames[Kind.SCORED] == 0


def test_windows_of_an_odd_rate_in_the_table(
    speech: Samples, checkpoint_path: Path, tmp_path: Path
) -> None:
    """4 s at 11,025 Hz, resampled to 16 kHz: multiples of four seconds, to the sample."""
    odd = soxr.resample(speech, 16_000, 11_025)
    soundfile.write(tmp_path / "odd.wav", odd, 11_025)
    score(
        tmp_path / "odd.wav",
        tmp_path / "o.parquet",
        checkpoint_path,
        segment={"method": "window", "window_s": 4.0},
    )
    assert_holds(tmp_path / "o.parquet")
    segments, files = tables(tmp_path / "o.parquet")
    whole = len(segments) - 1
    assert segments["start_s"].tolist() == [4.0 * number for number in range(whole + 1)]
    assert segments["end_s"].tolist()[:whole] == [4.0 * number for number in range(1, whole + 1)]
    assert segments["end_s"].tolist()[whole] == files["duration_s"][0] == len(odd) / 11_025

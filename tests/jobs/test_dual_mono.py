"""A recording whose channels carry one signal is scored once, unless `--channels` names them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from results import assert_holds, score, tables
from segments import split

from batch_ser.audio.channels import COMPARED_S, FRAMES_PER_S, same_signal
from batch_ser.audio.recording import Reading, Recording
from batch_ser.audio.samples import Samples

RATE_HZ = 16_000


def stereo(*channels: Samples) -> Samples:
    return np.stack(channels, axis=1)


def noise(length: int, seed: int) -> Samples:
    return np.random.default_rng(seed).standard_normal(length).astype(np.float32)


def same(samples: Samples, where: list[int] | None = None, rate_hz: int = RATE_HZ) -> bool:
    return same_signal(split(samples, where or []), rate_hz)


@pytest.fixture(scope="module")
def word(speech: Samples) -> Samples:
    return speech[: 6 * RATE_HZ]


def test_channels_that_carry_one_signal(word: Samples) -> None:
    assert same(stereo(word, word))
    assert same(stereo(word, 0.2 * word + 0.01))  # at another level, with another offset
    assert same(stereo(word, word, 0.5 * word))
    assert same(stereo(word, word + 0.02 * word.std() * noise(len(word), 1)))
    assert not same(stereo(word, word + 0.1 * word.std() * noise(len(word), 1)))
    assert not same(stereo(word, word, word[::-1]))
    assert not same(stereo(word, -word))  # their mixture would be silent
    assert not same(stereo(word, np.roll(word, 8)))


def test_silent_channels_carry_no_signal(word: Samples) -> None:
    nothing = np.zeros_like(word)
    assert not same(stereo(word, nothing))
    assert not same(stereo(nothing, word))
    assert not same(stereo(nothing, nothing))
    assert not same(stereo(nothing + 0.5, nothing + 0.5))  # only DC
    assert not same(np.zeros((0, 2), np.float32))


def test_silence_at_the_start_does_not_count(word: Samples) -> None:
    """Eleven minutes of different faint hiss, and then one signal."""
    hiss = [1e-4 * noise(11 * 60 * 1_000, seed) for seed in (1, 2)]
    channels = [np.concatenate([each, word]) for each in hiss]
    assert same(stereo(*channels), rate_hz=1_000)


def test_only_ten_minutes_with_sound_count() -> None:
    """A difference after them is ignored; one of 2 s within them is found."""
    rate_hz = 1_000
    frame = rate_hz // FRAMES_PER_S
    look = round(COMPARED_S * FRAMES_PER_S) * frame
    one, two = (0.5 * noise(look + 10 * rate_hz, seed) for seed in (1, 2))
    two[:look] = one[:look]
    blocks = iter(np.array_split(stereo(one, two), 700))
    assert same_signal(blocks, rate_hz)
    assert len(list(blocks)) > 5  # the rest is not decoded
    assert not same(stereo(one, two)[2 * rate_hz :], rate_hz=rate_hz)


@settings(max_examples=30)
@given(
    where=st.lists(st.integers(0, 10**6), max_size=8),
    level=st.sampled_from([0.0, 0.02, 0.0447, 0.045, 0.1]),
)
def test_the_decision_does_not_depend_on_blocks(
    speech: Samples, where: list[int], level: float
) -> None:
    word = speech[: 2 * RATE_HZ]
    both = stereo(word, word + level * word.std() * noise(len(word), 3))
    assert same(both, where) == same(both)


def write(path: Path, samples: Samples, **how: Any) -> Path:
    soundfile.write(path, samples, RATE_HZ, **how)
    return path


def test_scored_once_as_channel_0(word: Samples, checkpoint_path: Path, tmp_path: Path) -> None:
    """The rows are those of the mono file; the other channel counts as `not_asked`."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    write(tmp_path / "one" / "a.wav", word)
    write(tmp_path / "two" / "a.wav", stereo(word, word))
    for name in ("one", "two"):
        report = score(tmp_path / name, tmp_path / f"{name}.parquet", checkpoint_path)
        assert_holds(tmp_path / f"{name}.parquet")
    assert report.record.counts.notes == {"dual_mono": 1}
    (segments, files), (expected, mono) = (
        tables(tmp_path / f"{n}.parquet") for n in ("two", "one")
    )
    assert segments.equals(expected)
    row, alone = files.iloc[0], mono.iloc[0]
    assert (row["note"], row["channels"]) == ("dual_mono", 2)
    assert row["not_asked_s"] == row["duration_s"] == alone["decoded_s"]
    for name in ("scored_s", "not_speech_s", "too_short_s", "silence_s"):
        assert row[name] == alone[name]
    assert (list(row["speech_s"]), row["overlap_s"]) == (list(alone["speech_s"]), 0.0)


def test_a_recording_is_never_open_twice(
    word: Samples, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg's index of a day of AAC takes a hundred megabytes."""
    now_open: set[int] = set()
    counts: list[int] = []

    class Counted(Recording):
        def __init__(self, path: str, reading: Reading | None = None) -> None:
            super().__init__(path, reading)
            inner, number = self._decoder.close, len(counts)

            def close() -> None:
                now_open.discard(number)
                inner()

            monkeypatch.setattr(self._decoder, "close", close)
            now_open.add(number)
            counts.append(len(now_open))

    monkeypatch.setattr("jobs.worker.channels.Recording", Counted)
    write(tmp_path / "a.wav", stereo(word, word))
    score(tmp_path / "a.wav", tmp_path / "out.parquet", checkpoint_path)
    assert (counts, now_open) == ([1, 1], set())


def test_several_notes(word: Samples, checkpoint_path: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "cut.wav", stereo(word, word))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = score(path, tmp_path / "out.parquet", checkpoint_path)
    assert tables(tmp_path / "out.parquet")[1]["note"].tolist() == ["truncated, dual_mono"]
    assert report.record.counts.notes == {"dual_mono": 1, "truncated": 1}
    assert_holds(tmp_path / "out.parquet")


@pytest.mark.parametrize(("channels", "expected"), [("0,1", {0, 1}), ("1", {1}), ("mix", {-1})])
def test_named_channels_are_all_scored(
    word: Samples, checkpoint_path: Path, tmp_path: Path, channels: str, expected: set[int]
) -> None:
    write(tmp_path / "a.wav", stereo(word, word))
    score(tmp_path / "a.wav", tmp_path / "out.parquet", checkpoint_path, channels=channels)
    segments, files = tables(tmp_path / "out.parquet")
    assert set(segments["channel"]) == expected
    row = files.iloc[0]
    assert pd.isna(row["note"])
    assert len(row["speech_s"]) == len(expected)
    if len(expected) > 1:
        assert row["overlap_s"] == row["speech_s"][0] == row["speech_s"][1]
    else:
        assert np.isnan(row["overlap_s"])  # the other channel was not scored
    if channels == "1":
        assert np.isnan(row["silence_s"])  # so silence is not known either
    else:
        assert row["silence_s"] == pytest.approx(row["duration_s"] - row["speech_s"][0])
    assert_holds(tmp_path / "out.parquet")


def test_overlap_and_silence_need_all_channels(
    word: Samples, checkpoint_path: Path, tmp_path: Path
) -> None:
    both = np.column_stack([word, np.roll(word, 8_000), word])
    write(tmp_path / "a.wav", both)
    for channels, known in (("0,1", False), ("0,1,2", True)):
        out = tmp_path / f"{known}.parquet"
        score(tmp_path / "a.wav", out, checkpoint_path, channels=channels)
        row = tables(out)[1].iloc[0]
        assert min(row["speech_s"]) > 0
        assert row[["overlap_s", "silence_s"]].notna().tolist() == [known, known]


def test_a_telephone_codec_on_each_channel(
    word: Samples, checkpoint_path: Path, tmp_path: Path
) -> None:
    """Two levels of mu-law quantisation are still one signal; the examples' two people are not."""
    write(tmp_path / "a.wav", stereo(word, 0.5 * word), subtype="ULAW")
    score(tmp_path / "a.wav", tmp_path / "out.parquet", checkpoint_path)
    assert tables(tmp_path / "out.parquet")[1]["note"].tolist() == ["dual_mono"]

"""A telephone call: agent and customer on a channel each, overlapping, at known times."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from results import assert_holds, score, tables

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples

RATE_HZ = 8_000
LENGTH_S = 32.0
STEP = RATE_HZ // 100
# from where in the example calls, to where in the call that is composed
AGENT = (
    ("announcement.opus", 3.9, 9.8, 1.0),
    ("announcement.opus", 9.75, 14.9, 11.0),
    ("announcement.opus", 16.6, 21.8, 21.5),
)
CUSTOMER = (
    ("support-ulaw.wav", 0.55, 7.65, 4.0),
    ("support-ulaw.wav", 43.4, 48.1, 13.5),
    ("support-ulaw.wav", 48.1, 52.2, 22.5),
)
Stretches = list[tuple[float, float]]


def trimmed(samples: Samples) -> Samples:
    """From the first to the last 10 ms within 30 dB of the loudest."""
    steps = samples[: len(samples) // STEP * STEP].reshape(-1, STEP)
    power = np.square(steps).mean(axis=1)
    loud = np.flatnonzero(power > power.max() / 1_000)
    return steps[loud[0] : loud[-1] + 1].reshape(-1)


def composed(
    calls: Path, parts: tuple[tuple[str, float, float, float], ...]
) -> tuple[Samples, Stretches]:
    """One channel, and the times of speech on it."""
    line, spoken = np.zeros(round(LENGTH_S * RATE_HZ), np.float32), []
    for name, start_s, end_s, to_s in parts:
        part = load(str(calls / name), RATE_HZ)[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]
        word = trimmed(part)
        at = round(to_s * RATE_HZ)
        line[at : at + len(word)] = word
        spoken.append((at / RATE_HZ, (at + len(word)) / RATE_HZ))
    return line, spoken


@pytest.fixture(scope="module")
def call(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Stretches]]:
    """The call as 8 kHz mu-law, and the times of speech on each channel."""
    channels = [composed(calls, parts) for parts in (AGENT, CUSTOMER)]
    path = tmp_path_factory.mktemp("call") / "call.wav"
    both = np.stack([line for line, _ in channels], axis=1)
    soundfile.write(path, both, RATE_HZ, subtype="ULAW")
    return path, [spoken for _, spoken in channels]


def shares(spoken: list[Stretches]) -> tuple[float, float]:
    """Seconds of overlap, and of silence."""
    line = np.zeros((2, round(LENGTH_S * RATE_HZ)), bool)
    for channel, stretches in enumerate(spoken):
        for start, end in stretches:
            line[channel, round(start * RATE_HZ) : round(end * RATE_HZ)] = True
    return line.all(axis=0).sum() / RATE_HZ, (~line.any(axis=0)).sum() / RATE_HZ


def test_speech_is_found_where_the_call_was_composed(
    call: tuple[Path, list[Stretches]], checkpoint_path: Path, tmp_path: Path
) -> None:
    path, spoken = call
    overlap_s, silence_s = shares(spoken)
    assert min(overlap_s, silence_s) > 5
    score(path, tmp_path / "out.parquet", checkpoint_path)
    assert_holds(tmp_path / "out.parquet")
    segments, files = tables(tmp_path / "out.parquet")
    off = []
    for channel, stretches in enumerate(spoken):
        found = segments[segments["channel"] == channel]
        for start, end in stretches:
            off.append(np.abs(found["start_s"] - start).min())
            off.append(np.abs(found["end_s"] - end).min())
            inside = found[(found["start_s"] < end) & (found["end_s"] > start)]
            assert inside["end_s"].iloc[:-1].tolist() == inside["start_s"].iloc[1:].tolist()
    assert np.mean(off) < 0.15
    row = files.iloc[0]
    assert row["overlap_s"] == pytest.approx(overlap_s, rel=0.05)
    assert row["silence_s"] == pytest.approx(silence_s, rel=0.05)
    for speech_s, stretches in zip(row["speech_s"], spoken, strict=True):
        assert speech_s == pytest.approx(sum(end - start for start, end in stretches), rel=0.05)


def test_given_segments_are_exact(
    call: tuple[Path, list[Stretches]], checkpoint_path: Path, tmp_path: Path
) -> None:
    """Each row is of its line's channel and times, to the sample."""
    from models import load_checkpoint

    path, spoken = call
    lines = [
        f"{path.name},{start:.6f},{end:.6f},{channel},{who}\n"
        for channel, who in enumerate(("agent", "customer"))
        for start, end in spoken[channel]
    ]
    listed = path.parent / "given.csv"
    listed.write_text("file,start_s,end_s,channel,who\n" + "".join(reversed(lines)))
    score(listed, tmp_path / "out.parquet", checkpoint_path)
    assert_holds(tmp_path / "out.parquet")
    segments, files = tables(tmp_path / "out.parquet")
    expected = [
        (channel, number, start, end, who)
        for channel, who in enumerate(("agent", "customer"))
        for number, (start, end) in enumerate(spoken[channel])
    ]
    columns = ["channel", "segment", "start_s", "end_s", "who"]
    assert list(segments[columns].itertuples(index=False, name=None)) == expected
    total = sum(end - start for stretches in spoken for start, end in stretches)
    assert files["scored_s"][0] == pytest.approx(total)
    assert files["not_asked_s"][0] == pytest.approx(2 * LENGTH_S - total)
    line, _ = soundfile.read(path, dtype="float32")
    checkpoint = load_checkpoint(checkpoint_path)
    for row in segments.itertuples():
        high = soxr.resample(line[:, row.channel], RATE_HZ, 16_000)
        segment = high[round(row.start_s * 16_000) : round(row.end_s * 16_000)]
        scores = [getattr(row, f"p_{label}") for label in checkpoint.info.labels]
        assert np.allclose(scores, checkpoint.score(segment, 16_000), atol=1e-3)

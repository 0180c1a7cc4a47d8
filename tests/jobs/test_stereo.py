"""A telephone call: agent and customer on a channel each, overlapping, at known times."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from results import assert_holds, score, tables
from telephone_call import AGENT, CUSTOMER, LENGTH_S, RATE_HZ, Stretches, composed


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

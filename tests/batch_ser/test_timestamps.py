"""Containers with time stamps: what was not recorded is silence, and everything has its time."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from encoded import ffmpeg

from batch_ser.audio.recording import Recording
from batch_ser.audio.samples import BLOCK_VALUES, Samples

RATE_HZ = 48_000
KINDS = [("aac", "mp4"), ("aac", "mov"), ("libopus", "mp4"), ("libopus", "webm"), ("aac", "mkv")]
NAMES = {"mkv": "matroska"}


@pytest.fixture(scope="module")
def tones() -> Samples:
    """Four seconds, each of another tone."""
    at = np.arange(RATE_HZ) / RATE_HZ
    return np.concatenate(
        [0.3 * np.sin(2 * np.pi * hz * at) for hz in (300, 500, 700, 900)]
    ).astype(np.float32)


def stamped(
    path: Path,
    tones: Samples,
    codec: str,
    late_s: Callable[[float], float],
    tracks: int = 1,
    **options: str,
) -> Path:
    """Encode, and write each packet later by `late_s` of its time."""
    plain = path.with_name(f"plain{path.suffix}")
    kind = NAMES.get(path.suffix[1:], path.suffix[1:])
    ffmpeg(codec, kind, 96)(plain, tones[:, None], RATE_HZ)
    with av.open(str(plain)) as source, av.open(str(path), "w", kind, options=options) as out:
        streams = [out.add_stream_from_template(source.streams.audio[0]) for _ in range(tracks)]
        for packet in source.demux(audio=0):
            if packet.dts is None:
                continue
            late = round(late_s(float(packet.pts * packet.time_base)) / packet.time_base)
            packet.pts, packet.dts = packet.pts + late, packet.dts + late
            for stream in streams:
                packet.stream = stream
                out.mux(packet)
    return path


def read(path: Path) -> tuple[Samples, Recording]:
    recording = Recording(str(path))
    return np.concatenate(list(recording.blocks()))[:, 0], recording


def begins_s(decoded: Samples, hz: float) -> float:
    """When a tone first is the loudest, to 20 ms."""
    size = RATE_HZ // 50
    frames = decoded[: len(decoded) // size * size].reshape(-1, size)
    spectra = np.abs(np.fft.rfft(frames, RATE_HZ // 50))
    is_it = (np.argmax(spectra, axis=1) * 50 == hz) & (np.abs(frames).max(axis=1) > 0.1)
    return float(np.argmax(is_it)) / 50


@pytest.mark.parametrize(("codec", "ending"), KINDS)
def test_a_pause_in_the_stamps_is_silence(
    codec: str, ending: str, tmp_path: Path, tones: Samples
) -> None:
    """A recorder that writes nothing for three seconds."""
    path = stamped(tmp_path / f"a.{ending}", tones, codec, lambda at: 3.0 if at >= 1.9 else 0.0)
    decoded, recording = read(path)
    assert recording.notes == []
    assert len(decoded) / RATE_HZ == pytest.approx(7, abs=0.06)
    for hz, begin_s in ((300, 0), (500, 1), (700, 5), (900, 6)):
        assert begins_s(decoded, hz) == pytest.approx(begin_s, abs=0.045)
    assert np.abs(decoded[round(2 * RATE_HZ) : round(4.8 * RATE_HZ)]).max() < 1e-3


@pytest.mark.parametrize(("codec", "ending"), KINDS)
def test_what_begins_late_stays_late(
    codec: str, ending: str, tmp_path: Path, tones: Samples
) -> None:
    decoded, recording = read(stamped(tmp_path / f"a.{ending}", tones, codec, lambda _: 3.0))
    assert recording.notes == []
    assert len(decoded) / RATE_HZ == pytest.approx(7, abs=0.06)
    assert begins_s(decoded, 300) == pytest.approx(3, abs=0.045)
    assert begins_s(decoded, 900) == pytest.approx(6, abs=0.045)


def test_a_live_recording_states_no_length(tmp_path: Path, tones: Samples) -> None:
    path = tmp_path / "a.webm"
    stamped(path, tones, "libopus", lambda at: 3.0 if at >= 1.9 else 0.0, live="1")
    with av.open(str(path)) as live:
        assert live.duration is None
    decoded, recording = read(path)
    assert recording.notes == []
    assert begins_s(decoded, 700) == pytest.approx(5, abs=0.045)


@pytest.mark.parametrize(
    ("ending", "pause_s", "options"),
    [("webm", 4e6, {}), ("webm", 7_200, {"live": "1"}), ("mov", 40_000, {})],
)
def test_a_pause_of_years_is_not_made(
    ending: str, pause_s: float, options: dict[str, str], tmp_path: Path, tones: Samples
) -> None:
    if pause_s == 40_000:  # it is longer than what its header states
        path = stamped(tmp_path / f"a.{ending}", tones, "aac", lambda _: 3.0)
        data = bytearray(path.read_bytes())
        at = data.index(b"elst") + 12
        data[at : at + 4] = (2**31 - 1).to_bytes(4, "big")
        path.write_bytes(data)
    else:
        path = stamped(
            tmp_path / f"a.{ending}",
            tones,
            "libopus",
            lambda at: pause_s if at >= 1.9 else 0.0,
            **options,
        )
    decoded, recording = read(path)
    assert len(decoded) / RATE_HZ == pytest.approx(4, abs=0.06)
    assert "damaged" in recording.notes
    assert begins_s(decoded, 700) == pytest.approx(2, abs=0.045)


def test_an_hour_of_pause_is_made_in_blocks(tmp_path: Path, tones: Samples) -> None:
    path = stamped(tmp_path / "a.webm", tones, "libopus", lambda at: 3_600 if at >= 1.9 else 0)
    recording = Recording(str(path))
    sizes = [len(block) for block in recording.blocks()]
    assert recording.notes == []
    assert sum(sizes) / RATE_HZ == pytest.approx(3_604, abs=0.06)
    assert max(sizes) < 2 * BLOCK_VALUES


def test_clock_jitter_is_no_pause(tmp_path: Path, tones: Samples) -> None:
    path = stamped(tmp_path / "a.webm", tones, "libopus", lambda at: 0.01 * (round(at * 50) % 3))
    decoded, recording = read(path)
    assert recording.notes == []
    assert len(decoded) / RATE_HZ == pytest.approx(4, abs=0.03)


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov"])
def test_of_several_tracks_the_first_is_read(ending: str, tmp_path: Path, tones: Samples) -> None:
    path = stamped(tmp_path / f"a.{ending}", tones, "aac", lambda _: 0.0, tracks=2)
    decoded, recording = read(path)
    assert recording.notes == ["first_track"]
    assert len(decoded) / RATE_HZ == pytest.approx(4, abs=0.06)

"""Damaged pages of Ogg: what is lost is silence, and what follows has its time."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from batch_ser.audio.ogg_pages import pages, summarise_pages
from batch_ser.audio.recording import Recording
from batch_ser.audio.samples import Samples

RATE_HZ = 16_000
BLOCK = 160  # samples: Vorbis stamps to a short block
SUBTYPES = ["VORBIS", "OPUS"]


@pytest.fixture(scope="module")
def minute(speech: Samples) -> Samples:
    """A minute in which nothing occurs twice."""
    return np.concatenate([speech, speech[::-1], speech[::-2]])[: 60 * RATE_HZ]


@pytest.fixture(scope="module", params=SUBTYPES)
def whole(
    request: pytest.FixtureRequest, minute: Samples, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("pages") / "whole.ogg"
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, request.param, format="OGG") as file:
        for second in np.split(minute, 60):
            file.write(second)
    return path


def flipped(whole: Path, path: Path, numbers: list[int]) -> Path:
    """One bit in each of some pages; negative numbers count from the end."""
    data, places = bytearray(whole.read_bytes()), [page.position for page in pages(str(whole), 0)]
    for number in numbers:
        data[places[number] + 100] ^= 4
    path.write_bytes(data)
    return path


def read(path: Path) -> tuple[Samples, list[str]]:
    """Samples at 16 kHz (FFmpeg decodes all Opus at 48 kHz), and the notes."""
    recording = Recording(str(path))
    samples = np.concatenate(list(recording.blocks()))[:, 0]
    return soxr.resample(samples, recording.rate_hz, RATE_HZ), recording.notes


def agrees(decoded: Samples, source: Samples, begin_s: float, end_s: float) -> bool:
    """Whether a part is the source's, at its time or at most a short block beside it."""
    begin, end = round(begin_s * RATE_HZ), round(end_s * RATE_HZ)
    return any(
        np.corrcoef(decoded[begin + lag : end + lag], source[begin:end])[0, 1] > 0.9
        for lag in (0, *range(-BLOCK, BLOCK, 16))
        if begin + lag >= 0
    )


def test_whole_ones_are_not_noted(whole: Path, minute: Samples) -> None:
    found = summarise_pages(str(whole))
    assert (found.streams, found.damaged, found.start_lost) == (1, False, False)
    decoded, notes = read(whole)
    assert (len(decoded), notes) == (len(minute), [])


@pytest.mark.parametrize("numbers", [[2], [6], [5, 7]])
def test_a_damaged_page_is_silence(
    numbers: list[int], whole: Path, minute: Samples, tmp_path: Path
) -> None:
    decoded, notes = read(flipped(whole, tmp_path / "a.ogg", numbers))
    assert notes == ["damaged"]
    assert abs(len(decoded) - len(minute)) <= BLOCK
    lost = np.convolve(np.abs(decoded) < 1e-6, np.ones(800), "valid").max() == 800
    assert lost
    assert agrees(decoded, minute, 50, 59.9)
    if numbers[0] > 2:
        assert agrees(decoded, minute, 0, 2)


def test_a_page_that_is_gone(whole: Path, minute: Samples, tmp_path: Path) -> None:
    data, places = whole.read_bytes(), [page.position for page in pages(str(whole), 0)]
    path = tmp_path / "a.ogg"
    path.write_bytes(data[: places[6]] + data[places[7] :])
    decoded, notes = read(path)
    assert notes == ["damaged"]
    assert abs(len(decoded) - len(minute)) <= BLOCK
    assert agrees(decoded, minute, 50, 59.9)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_damaged_pages_at_the_end(count: int, whole: Path, minute: Samples, tmp_path: Path) -> None:
    decoded, notes = read(flipped(whole, tmp_path / "a.ogg", [-1 - n for n in range(count)]))
    lost_s = (len(minute) - len(decoded)) / RATE_HZ
    assert "damaged" in notes
    assert ("truncated" in notes) == (lost_s > 0.3)
    assert lost_s > 0.3 or count == 1
    assert agrees(decoded, minute, 0, 20)


def test_a_stream_that_counts_from_anywhere(whole: Path, minute: Samples, tmp_path: Path) -> None:
    """A recording of a radio stream begins in its middle: no silence is put before it."""
    data, places = whole.read_bytes(), [page.position for page in pages(str(whole), 0)]
    headers = places[2]
    path = tmp_path / "a.ogg"
    path.write_bytes(data[:headers] + data[places[5] :])
    decoded, notes = read(path)
    assert notes == []
    begun_s = (len(minute) - len(decoded)) / RATE_HZ
    assert begun_s > 2
    broken = flipped(path, tmp_path / "b.ogg", [6])
    again, notes = read(broken)
    assert notes == ["damaged"]
    assert abs(len(again) - len(decoded)) < 0.1 * RATE_HZ


def test_a_damaged_link_of_a_chain_is_noted(whole: Path, minute: Samples, tmp_path: Path) -> None:
    """The time of the next link is not known: it comes early."""
    flipped(whole, tmp_path / "a.ogg", [6])
    chain = tmp_path / "chain.ogg"
    chain.write_bytes((tmp_path / "a.ogg").read_bytes() + whole.read_bytes())
    decoded, notes = read(chain)
    assert notes == ["truncated"]
    assert 1.5 * len(minute) < len(decoded) < 2 * len(minute)


@pytest.mark.parametrize("shares", [(0.5,), (0.02, 0.6, 0.61)])
def test_damaged_frames_of_flac_are_silence(
    shares: tuple[float, ...], minute: Samples, tmp_path: Path
) -> None:
    """libsndfile ends at the first of them; what else is decoded is exact."""
    path = tmp_path / "a.flac"
    soundfile.write(path, minute, RATE_HZ)
    exact = read(path)[0]
    data = bytearray(path.read_bytes())
    for share in shares:
        data[round(share * len(data))] ^= 4
    path.write_bytes(data)
    decoded, notes = read(path)
    assert notes == ["damaged"]
    assert len(decoded) == len(exact)
    wrong = np.flatnonzero(decoded != exact)
    assert 0 < len(wrong) <= 2 * 4_096 * len(shares)  # a neighbour falls with it at times
    assert not decoded[wrong].any()
    path.write_bytes(data[: round(0.8 * len(data))])
    decoded, notes = read(path)
    assert notes == ["truncated", "damaged"]
    assert 0.7 < len(decoded) / len(exact) < 0.9

"""Every format that archives hold, read right: the same clip in, the same clip out."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from encoded import ENCODINGS, EXACT, Encoding, ffmpeg, sndfile

from batch_ser.audio.recording import Reading, Recording
from batch_ser.audio.samples import Samples
from batch_ser.errors import FileError
from batch_ser.inputs import AUDIO_SUFFIXES


@pytest.fixture(scope="module")
def clip(speech: Samples) -> Samples:
    """Three seconds of real speech, 16 kHz."""
    return speech[30_000:78_000]


def read(path: Path) -> tuple[Samples, Recording]:
    recording = Recording(str(path))
    return np.concatenate(list(recording.blocks())), recording


def lag_of(decoded: Samples, source: Samples) -> int:
    """By how many samples a signal comes late, by cross-correlation."""
    size = 1 << int(len(decoded) + len(source)).bit_length()
    spectrum = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(source, size))
    best = int(np.argmax(np.fft.irfft(spectrum, size)))
    return best - size if best > size // 2 else best


def correlation(decoded: Samples, source: Samples) -> float:
    count = min(len(decoded), len(source))
    return float(np.corrcoef(decoded[:count], source[:count])[0, 1])


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.file)
def test_a_clip_comes_out_as_it_went_in(encoding: Encoding, tmp_path: Path, clip: Samples) -> None:
    path = encoding.write(tmp_path, clip)
    decoded, recording = read(path)
    source = encoding.source(clip)
    assert recording.codec == encoding.codec
    assert (recording.rate_hz, recording.channels) == (encoding.rate_hz, encoding.channels)
    assert recording.notes == []
    assert path.suffix in AUDIO_SUFFIXES | {".ts"}
    for mine, true in zip(decoded.T, source.T, strict=True):
        assert lag_of(mine, true) == encoding.lag
        if encoding.share == EXACT:
            assert len(mine) == len(true)
            assert np.abs(mine - true).max() < 1e-4
        else:
            assert -2_048 <= len(mine) - len(true) <= 2_304  # a frame or two of the encoder's
            late = max(encoding.lag, 0)
            assert correlation(mine[late:], true[max(-encoding.lag, 0) :]) > encoding.share


def test_amr_wide_band(tmp_path: Path) -> None:
    """Frames of 23.05 kbit/s, filled at random: nothing here encodes AMR-WB."""
    frames = np.random.default_rng(1).integers(0, 256, (50, 58), np.uint8)
    header = np.full((50, 1), 7 << 3 | 4, np.uint8)
    path = tmp_path / "a.awb"
    path.write_bytes(b"#!AMR-WB\n" + np.hstack([header, frames]).tobytes())
    decoded, recording = read(path)
    assert (recording.codec, recording.rate_hz, len(decoded)) == ("amr/amr_wb", 16_000, 50 * 320)


def test_content_decides_and_not_the_name(tmp_path: Path, clip: Samples) -> None:
    for name, encoding in zip(("a.mp3", "b.gsm", "c.wav", "d.txt"), ENCODINGS[::16], strict=False):
        encoding.write(tmp_path, clip).rename(tmp_path / name)
        assert read(tmp_path / name)[1].codec == encoding.codec


def test_flac_with_no_total_in_its_header(tmp_path: Path, clip: Samples) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, clip, 16_000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    decoded, recording = read(path)
    assert np.abs(decoded[:, 0] - clip).max() < 1e-4
    assert recording.notes == []


@pytest.mark.parametrize(
    ("container", "stated"),
    [("wav", 0), ("wav", 0xFFFFFFFF), ("wav", 0x7FFFFFFF), ("au", 0xFFFFFFFF), ("au", 0x7FFFFFFF)],
)
def test_a_recorder_that_never_wrote_its_length(
    container: str, stated: int, tmp_path: Path, clip: Samples
) -> None:
    path = tmp_path / f"a.{container}"
    soundfile.write(path, clip, 16_000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4 if container == "wav" else 8
    data[at : at + 4] = struct.pack("<I" if container == "wav" else ">I", stated)
    path.write_bytes(data)
    decoded, recording = read(path)
    assert np.abs(decoded[:, 0] - clip).max() < 1e-4
    assert recording.codec == f"{container}/pcm_16"


def without_xing(path: Path) -> bytes:
    """An MP3 without its first frame, which states its length and its delay."""
    data = path.read_bytes()
    sync = data[:2]
    return data[data.index(sync, max(data.find(b"Xing"), data.find(b"Info"))) :]


def test_mp3_of_a_variable_rate_is_read_to_its_end(tmp_path: Path, clip: Samples) -> None:
    """Without a Xing header, libsndfile reads as far as it guesses from the first frame."""
    path = tmp_path / "a.mp3"
    loud_first = np.concatenate([clip, np.zeros_like(clip), np.zeros_like(clip), clip])
    soundfile.write(path, loud_first, 16_000, bitrate_mode="VARIABLE")
    path.write_bytes(without_xing(path))
    assert soundfile.info(path).frames < 0.7 * len(loud_first)
    decoded, _ = read(path)
    assert 0 <= len(decoded) - len(loud_first) <= 2_304
    assert correlation(decoded[1_105:, 0], loud_first) > 0.95


@pytest.mark.parametrize("second_hz", [16_000, 44_100])
@pytest.mark.parametrize("plain", [True, False])
def test_mp3_files_joined_in_one(
    plain: bool, second_hz: int, tmp_path: Path, clip: Samples
) -> None:
    """The first one's header counts its own frames alone."""
    for name, rate_hz in (("a.mp3", 16_000), ("b.mp3", second_hz)):
        soundfile.write(tmp_path / name, soxr.resample(clip, 16_000, rate_hz), rate_hz)
    a, b = tmp_path / "a.mp3", tmp_path / "b.mp3"
    joined = [without_xing(each) if plain else each.read_bytes() for each in (a, b)]
    (tmp_path / "joined.mp3").write_bytes(b"".join(joined))
    decoded, recording = read(tmp_path / "joined.mp3")
    assert recording.rate_hz == 16_000
    assert 0 <= len(decoded) - 2 * len(clip) <= 6_000  # two encoders' delays and padding
    second = decoded[len(clip) :, 0]
    late = lag_of(second, clip)
    assert 0 <= late <= 4_000
    assert correlation(second[late:], clip) > 0.95


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("second_hz", [16_000, 48_000])
def test_chained_ogg(subtype: str, second_hz: int, tmp_path: Path, clip: Samples) -> None:
    """Every link is read, at the first one's rate, and begins where the one before it ends."""
    parts = []
    for number, rate_hz in enumerate((16_000, second_hz, 16_000)):
        path = tmp_path / f"{number}.ogg"
        source = soxr.resample(clip, 16_000, rate_hz)
        soundfile.write(path, source, rate_hz, format="OGG", subtype=subtype)
        parts.append(path.read_bytes())
    chain = tmp_path / "chain.ogg"
    chain.write_bytes(b"".join(parts))
    decoded, recording = read(chain)
    assert recording.notes == []
    assert (recording.rate_hz, len(decoded)) == (16_000, 3 * len(clip))
    for third in np.split(decoded[:, 0], 3):
        assert lag_of(third, clip) == 0
        assert correlation(third, clip) > 0.95


def test_a_chain_ends_where_the_channels_change(tmp_path: Path, clip: Samples) -> None:
    parts = []
    for channels in (1, 2):
        path = tmp_path / f"{channels}.ogg"
        soundfile.write(path, np.stack([clip] * channels, 1), 16_000)
        parts.append(path.read_bytes())
    (tmp_path / "chain.ogg").write_bytes(b"".join(parts))
    decoded, recording = read(tmp_path / "chain.ogg")
    assert decoded.shape == (len(clip), 1)
    assert recording.notes == ["truncated"]


def test_a_rate_that_changes_in_aac(tmp_path: Path, clip: Samples) -> None:
    parts = []
    for rate_hz in (16_000, 48_000):
        path = tmp_path / f"{rate_hz}.aac"
        source = soxr.resample(clip, 16_000, rate_hz)[:, None]
        ffmpeg("aac", "adts", 48)(path, source, rate_hz)
        parts.append(path.read_bytes())
    (tmp_path / "both.aac").write_bytes(b"".join(parts))
    decoded, recording = read(tmp_path / "both.aac")
    assert recording.rate_hz == 16_000
    assert 0 <= len(decoded) - 2 * len(clip) <= 5_000
    second = decoded[len(clip) :, 0]
    assert correlation(second[lag_of(second, clip) :], clip) > 0.9


def test_wav_files_joined_in_one_are_noted(tmp_path: Path, clip: Samples) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, clip, 16_000)
    path.write_bytes(path.read_bytes() * 2)
    decoded, recording = read(path)
    assert len(decoded) == len(clip)
    assert recording.notes == ["truncated"]


def test_a_large_avi_goes_on_in_a_second_riff(tmp_path: Path, clip: Samples) -> None:
    """OpenDML: after the first gigabyte comes `RIFF....AVIX`."""
    path = tmp_path / "a.avi"
    ffmpeg("pcm_s16le", "avi")(path, clip[:, None], 16_000)
    whole = path.read_bytes()
    path.write_bytes(whole + b"RIFF" + (16).to_bytes(4, "little") + b"AVIXLIST\4\0\0\0movi")
    decoded, recording = read(path)
    assert len(decoded) == len(clip)
    assert recording.notes == []


@pytest.mark.parametrize("rate_hz", [4_000, 5_512, 11_025, 96_000, 384_000])
def test_rates(rate_hz: int, tmp_path: Path, clip: Samples) -> None:
    soundfile.write(tmp_path / "a.wav", clip, rate_hz)
    decoded, recording = read(tmp_path / "a.wav")
    assert (recording.rate_hz, len(decoded)) == (rate_hz, len(clip))


@pytest.mark.parametrize("container", ["WAV", "FLAC", "AU"])
def test_many_channels(container: str, tmp_path: Path) -> None:
    count = 8 if container == "FLAC" else 128
    source = np.linspace(-1, 1, 500 * count, dtype=np.float32).reshape(500, count)
    sndfile(container, "PCM_16")(tmp_path / "a", source, 8_000)
    decoded, _ = read(tmp_path / "a")
    assert np.abs(decoded - source).max() < 1e-4


def test_eight_channels_through_ffmpeg(tmp_path: Path, clip: Samples) -> None:
    """PyAV's own conversion of as many planes reads behind the last one, and ends the process."""
    source = np.stack([np.roll(clip, 4_000 * number) for number in range(8)], axis=1)
    ffmpeg("aac", "ipod", 512)(tmp_path / "a.m4a", source, 16_000)
    decoded, recording = read(tmp_path / "a.m4a")
    assert recording.channels == 8
    best = [max(correlation(mine, true) for true in source.T) for mine in decoded.T]
    assert sum(each > 0.95 for each in best) >= 7  # one of them is the low-frequency channel


@pytest.mark.parametrize("name", ["pcm16.flac", "opus16.opus", "aac.m4a"])
def test_longer_than_allowed(name: str, tmp_path: Path, clip: Samples) -> None:
    encoding = next(each for each in ENCODINGS if each.file == name)
    path = encoding.write(tmp_path, clip)
    assert Recording(str(path), Reading(max_hours=4 / 3600))
    with pytest.raises(FileError, match=r"longer than 0\.000555.* hours; --max-hours") as caught:
        list(Recording(str(path), Reading(max_hours=2 / 3600)).blocks())
    assert caught.value.reason == "too_long"

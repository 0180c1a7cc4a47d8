"""Recordings as streams: what is read, and the errors of what cannot be."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.audio.channels import MIXED, channel, choose_channels
from batch_ser.audio.recording import Recording, load
from batch_ser.audio.resample import Resampler
from batch_ser.audio.samples import Samples
from batch_ser.errors import FileError, Reason, UsageError


def read(path: Path) -> tuple[Samples, Recording]:
    recording = Recording(str(path))
    return np.concatenate(list(recording.blocks())), recording


def test_blocks_are_the_whole_file(tmp_path: Path, speech: Samples) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.tile(speech, 2), 16_000, subtype="FLOAT")
    samples, recording = read(path)
    assert np.array_equal(samples[:, 0], np.tile(speech, 2))
    assert recording.decoded_frames == len(samples)
    assert not recording.truncated


@pytest.mark.parametrize(
    ("name", "codec", "channels"),
    [
        ("support-ulaw.wav", "wav/ulaw", 2),
        ("voicemail-gsm.wav", "wav/gsm610", 1),
        ("queue.mp3", "mp3/mpeg_layer_iii", 2),
        ("announcement.opus", "ogg/opus", 1),
    ],
)
def test_the_example_calls_are_read(calls: Path, name: str, codec: str, channels: int) -> None:
    samples, recording = read(calls / name)
    assert (recording.codec, recording.channels) == (codec, channels)
    assert not recording.truncated
    assert len(samples) / recording.rate_hz == pytest.approx(
        soundfile.info(calls / name).duration, abs=0.1
    )
    assert 0.01 < np.abs(samples).mean() < 0.5


@pytest.mark.parametrize(
    ("name", "content", "reason", "message"),
    [
        ("a.mp3", b"Dear Sir, this is a letter and not a recording.\n" * 9, "unsupported", "text"),
        ("a.wav", b"", "no_audio", "0 bytes"),
        ("a.flac", b"fLaC" + bytes(range(256)) * 4, "corrupt", "damaged"),
    ],
)
@pytest.mark.timeout(60)
def test_what_is_no_audio(
    tmp_path: Path, name: str, content: bytes, reason: str, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read(tmp_path / name)
    assert caught.value.reason == reason


def test_a_header_alone_has_no_audio(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), 8_000)
    with pytest.raises(FileError) as caught:
        read(tmp_path / "a.wav")
    assert caught.value.reason is Reason.NO_AUDIO


def test_missing_and_folder(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "no.wav", "not_found"), (tmp_path, "not_a_file")):
        with pytest.raises(FileError) as caught:
            Recording(str(path))
        assert caught.value.reason == reason


@pytest.mark.timeout(60)  # libsndfile hangs when it seeks in a FLAC that is cut off
@pytest.mark.parametrize("ending", ["flac", "wav"])
def test_a_cut_file_gives_its_readable_part(tmp_path: Path, speech: Samples, ending: str) -> None:
    whole, cut = tmp_path / f"a.{ending}", tmp_path / f"cut.{ending}"
    soundfile.write(whole, speech, 16_000)
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    (expected, _), (samples, recording) = read(whole), read(cut)
    assert recording.truncated
    assert 0.3 < len(samples) / len(expected) < 0.7
    assert np.array_equal(samples, expected[: len(samples)])


def test_a_stream_of_unknown_length_is_not_truncated(tmp_path: Path, speech: Samples) -> None:
    """Recorders that stream write 0xFFFFFFFF for a length that they do not know."""
    path = tmp_path / "a.wav"
    soundfile.write(path, speech, 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    samples, recording = read(path)
    assert len(samples) == len(speech)
    assert not recording.truncated


def test_rates_out_of_bounds_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(99, np.float32), 2_000)
    with pytest.raises(FileError, match="2000 samples a second") as caught:
        Recording(str(tmp_path / "a.wav"))
    assert caught.value.reason is Reason.BAD_RATE


def test_samples_are_finite(tmp_path: Path) -> None:
    wild = np.array([0.5, np.nan, np.inf, -np.inf, 1e30, -0.5], np.float32)
    soundfile.write(tmp_path / "a.wav", wild, 16_000, subtype="FLOAT")
    samples, recording = read(tmp_path / "a.wav")
    assert samples[:, 0].tolist() == [0.5, 0, 0, 0, 32_768, -0.5]
    assert recording.notes == ["damaged"]  # silence replaces three of them
    soundfile.write(tmp_path / "a.wav", wild[4:], 16_000, subtype="FLOAT")
    assert read(tmp_path / "a.wav")[1].notes == []


def test_channels() -> None:
    block = np.array([[1.0, 3.0], [2.0, -2.0]], np.float32)
    assert choose_channels("split", 2) == [0, 1]
    assert choose_channels("1", 2) == [1]
    assert choose_channels("mix", 2) == [MIXED]
    assert choose_channels("2, 0", 3) == [0, 2]
    assert channel(block, 1).tolist() == [3.0, -2.0]
    assert channel(block, MIXED).tolist() == [2.0, 0.0]
    with pytest.raises(FileError, match="the recording has only channel 0"):
        choose_channels("0,1", 1)
    for wrong in ("left", "0,0", "-1", "", "\u00b2", "9" * 5_000):
        with pytest.raises(UsageError, match="expected split, mix") as refused:
            choose_channels(wrong, 2)
        assert len(str(refused.value)) < 200


@given(
    cuts=st.lists(st.integers(0, 4000), max_size=6),
    from_hz=st.sampled_from([8_000, 11_025, 44_100, 48_000]),
)
def test_resampling_does_not_depend_on_blocks(cuts: list[int], from_hz: int) -> None:
    samples = np.sin(np.arange(4000) * 0.05).astype(np.float32)
    none = np.zeros(0, np.float32)

    def resampled(blocks: list[Samples]) -> Samples:
        stream = Resampler(from_hz, 16_000)
        return np.concatenate([*(stream(block) for block in blocks), stream(none, last=True)])

    whole = resampled([samples])
    assert abs(len(whole) - len(samples) * 16_000 / from_hz) <= 1
    assert np.array_equal(resampled(np.split(samples, sorted(cuts))), whole)


def test_load_mixes_and_resamples(calls: Path) -> None:
    samples = load(str(calls / "support-ulaw.wav"), 16_000)
    assert len(samples) == pytest.approx(
        16_000 * soundfile.info(calls / "support-ulaw.wav").duration, abs=1
    )

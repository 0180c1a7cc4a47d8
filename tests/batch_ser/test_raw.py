"""Headerless telephone recordings: recognised by their ending, or read by the options."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Runner
from encoded import Encoder, ffmpeg

from batch_ser.audio.raw import NAMED_ENDINGS, RAW_ENDINGS, RawSettings
from batch_ser.audio.recording import Reading, Recording
from batch_ser.audio.samples import Samples
from batch_ser.errors import FileError, MismatchError, UsageError
from batch_ser.inputs import Walk
from jobs import RunConfig, run

SUBTYPES = {"ulaw": "ULAW", "alaw": "ALAW", "pcm16": "PCM_16", "gsm": "GSM610"}


@pytest.fixture(scope="module")
def stereo(speech: Samples) -> Samples:
    """Two seconds of speech on each of two channels, at 8 kHz."""
    return np.stack([speech[30_000:62_000:2], speech[62_000:30_000:-2]], axis=1)


def write(path: Path, samples: Samples, encoding: str) -> None:
    soundfile.write(path, samples, 8_000, format="RAW", subtype=SUBTYPES[encoding], endian="LITTLE")


def read(path: Path, raw: RawSettings | None = None) -> tuple[Samples, Recording]:
    recording = Recording(str(path), Reading(raw or RawSettings()))
    return np.concatenate(list(recording.blocks())), recording


def as_wav(path: Path, samples: Samples, encoding: str) -> Samples:
    """The same codec in a WAV, whose header has all settings."""
    soundfile.write(path, samples, 8_000, format="WAV", subtype=SUBTYPES[encoding])
    return np.concatenate(list(Recording(str(path)).blocks()))


@pytest.mark.parametrize(
    ("ending", "encoding"), [*NAMED_ENDINGS.items(), (".raw", "pcm16"), (".pcm", "pcm16")]
)
def test_the_ending_names_the_encoding(
    ending: str, encoding: str, tmp_path: Path, stereo: Samples
) -> None:
    path = tmp_path / f"CALL{ending.upper()}"
    write(path, stereo[:, 0], encoding)
    decoded, recording = read(path)
    assert (recording.rate_hz, recording.channels, recording.notes) == (8_000, 1, [])
    assert recording.codec == f"raw/{SUBTYPES[encoding].lower()}"
    expected = as_wav(tmp_path / "a.wav", stereo[:, 0], encoding)
    assert np.array_equal(decoded[: len(expected)], expected)


@pytest.mark.parametrize("encoding", ["ulaw", "alaw", "pcm16"])
def test_stereo_is_exact(encoding: str, tmp_path: Path, stereo: Samples) -> None:
    path = tmp_path / "call.raw"
    write(path, stereo, encoding)
    decoded, recording = read(path, RawSettings(encoding, 16_000, 2))
    assert np.array_equal(decoded, as_wav(tmp_path / "a.wav", stereo, encoding))
    assert recording.rate_hz == 16_000


def test_gsm_is_33_bytes_for_160_samples(tmp_path: Path, stereo: Samples) -> None:
    path = tmp_path / "call.gsm"
    write(path, stereo[:, 0], "gsm")
    path.write_bytes(path.read_bytes()[: 40 * 33])
    assert len(read(path, RawSettings(channels=2))[0]) == 40 * 160  # GSM has one channel


def test_sln_names_its_rate(tmp_path: Path, stereo: Samples) -> None:
    for ending, rate_hz in ((".sln", 8_000), (".sln16", 16_000), (".sln48", 48_000)):
        write(tmp_path / f"a{ending}", stereo[:, 0], "pcm16")
        assert read(tmp_path / f"a{ending}")[1].rate_hz == rate_hz
    assert read(tmp_path / "a.sln", RawSettings(rate_hz=44_100))[1].rate_hz == 44_100
    assert read(tmp_path / "a.sln16", RawSettings(rate_hz=44_100))[1].rate_hz == 16_000


def test_an_ending_that_names_its_encoding_wins(tmp_path: Path, stereo: Samples) -> None:
    write(tmp_path / "a.ulaw", stereo[:, 0], "ulaw")
    assert read(tmp_path / "a.ulaw", RawSettings("pcm16"))[1].codec == "raw/ulaw"


@pytest.mark.parametrize("name", ["a.dat", "a", "a.wav"])
def test_the_option_holds_for_what_no_decoder_knows(
    name: str, tmp_path: Path, stereo: Samples
) -> None:
    write(tmp_path / name, stereo[:, 0], "alaw")
    with pytest.raises(FileError, match="give --raw-encoding") as caught:
        read(tmp_path / name)
    assert caught.value.reason == "unsupported"
    assert read(tmp_path / name, RawSettings("alaw"))[1].codec == "raw/alaw"


@pytest.mark.parametrize("ending", sorted(RAW_ENDINGS))
def test_a_header_counts_before_the_ending(ending: str, tmp_path: Path, stereo: Samples) -> None:
    path = tmp_path / f"a{ending}"
    soundfile.write(path, stereo, 8_000, format="FLAC")
    decoded, recording = read(path, RawSettings("ulaw"))
    assert recording.codec == "flac/pcm_16"
    assert np.abs(decoded - stereo).max() < 1e-4


@pytest.mark.parametrize("begins", [b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"\x0b\x77"])
def test_silence_in_mu_law_is_not_taken_for_mp3(begins: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.ul"
    path.write_bytes(begins + b"\xff\x7e" * 8_000)
    decoded, recording = read(path)
    assert recording.codec == "raw/ulaw"
    assert len(decoded) == len(begins) + 16_000


@pytest.mark.parametrize("raw", [RawSettings(), RawSettings("alaw"), RawSettings("ulaw")])
@pytest.mark.parametrize("name", ["call.dat", "x.wav", "call"])
@pytest.mark.parametrize(
    "encoder",
    [
        ffmpeg("libmp3lame", "mp3", 32),
        ffmpeg("mp2", "mp2", 384),
        ffmpeg("aac", "adts", 48),
        ffmpeg("ac3", "ac3", 640),
        ffmpeg("eac3", "eac3", 96),
        ffmpeg("aac", "latm", 48),
    ],
)
def test_frames_in_a_row_count_before_the_option(
    encoder: Encoder, name: str, raw: RawSettings, tmp_path: Path, speech: Samples
) -> None:
    """An MP3 without any tag, read as A-law, is noise that would be scored."""
    encoder(tmp_path / "whole", speech[:48_000, None], 48_000)
    data = (tmp_path / "whole").read_bytes()
    if data.startswith(b"ID3"):
        data = data[10 + int.from_bytes(data[8:10], "big") :]
    (tmp_path / name).write_bytes(data)
    decoded, recording = read(tmp_path / name, raw)
    assert recording.codec.split("/")[0] != "raw"
    assert 48_000 <= len(decoded) <= 54_000


@pytest.mark.parametrize("begins", [b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"\x0b\x77"])
def test_a_single_frame_is_not(begins: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(begins + b"\xff\x7e" * 8_000)
    assert read(tmp_path / "a.dat", RawSettings("ulaw"))[1].codec == "raw/ulaw"


@pytest.mark.parametrize("silence", [b"\x7f", b"\x55", b"UT", b"\x7f\x7e", b"hello world"])
@pytest.mark.parametrize("ending", [".ulaw", ".alaw", ".sln"])
def test_silence_is_not_taken_for_text(silence: bytes, ending: str, tmp_path: Path) -> None:
    """0x7F in mu-law, 0x55 in A-law: both are letters."""
    path = tmp_path / f"a{ending}"
    path.write_bytes(silence * 8_000 + bytes(range(256)) * 8)
    assert read(path)[1].codec.startswith("raw/")
    if len(silence) <= 2:
        assert read(path.rename(tmp_path / "a.raw"), RawSettings("ulaw"))[1].codec == "raw/ulaw"


@pytest.mark.parametrize(
    ("content", "message"), [(b"Dear Sir, " * 99, "text"), (b"PK\x03\x04" + bytes(99), "ZIP")]
)
def test_what_is_certainly_no_audio(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read(tmp_path / "a.raw")
    assert caught.value.reason == "unsupported"


def test_wrong_options() -> None:
    with pytest.raises(UsageError, match="expected ulaw, alaw, pcm16, gsm"):
        RawSettings("mulaw")
    with pytest.raises(UsageError, match="--raw-rate 800: expected 4000 to 384000"):
        RawSettings(rate_hz=800)
    with pytest.raises(UsageError, match="--raw-channels 0: expected 1 to 128"):
        RawSettings(channels=0)
    with pytest.raises(UsageError, match="--raw-channels 2: expected 1: GSM is mono"):
        RawSettings("gsm", channels=2)
    with pytest.raises(UsageError, match="--max-hours 0: expected more than 0"):
        Reading(max_hours=0)


def test_a_job_reads_them_and_keeps_its_settings(
    tmp_path: Path, stereo: Samples, checkpoint_path: Path
) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    write(folder / "a.raw", stereo, "alaw")
    write(folder / "b.ul", stereo, "ulaw")
    write(folder / "c.gsm", stereo[:, 0], "gsm")
    assert [each.file for each in Walk((str(folder),))] == ["a.raw", "b.ul", "c.gsm"]

    def config(**options: Reading) -> RunConfig:
        out, model = str(tmp_path / "out.parquet"), str(checkpoint_path)
        return RunConfig(
            (str(folder),), out, model, segment={"method": "whole"}, engine="inline", **options
        )

    report = run(config(reading=Reading(RawSettings("alaw", channels=2))))
    assert report.record.counts.segments == 5
    assert report.record.counts.seconds["decoded_s"] == pytest.approx(10, abs=0.04)
    assert report.record.fingerprint["raw"]["encoding"] == "alaw"
    with pytest.raises(MismatchError, match=r"raw was .*alaw.*, is absent"):
        run(config())
    again = run(config(reading=Reading(RawSettings("alaw", channels=2), max_hours=1)))
    assert again.record.finished == report.record.finished


def test_without_these_options_the_fingerprint_is_as_before(calm: Path) -> None:
    record = json.loads(calm.with_name("results.run.json").read_text())
    assert "raw" not in record["fingerprint"]


def test_predict_takes_the_options(
    tmp_path: Path, stereo: Samples, batch_ser: Runner, checkpoint_path: Path
) -> None:
    write(tmp_path / "a.dat", stereo[:, 0], "ulaw")
    command = ["predict", "a.dat", "--model", checkpoint_path, "--segment", "whole"]
    done = batch_ser(*command, "--raw-encoding", "ulaw")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["emotion"]
    assert batch_ser(*command, "--raw-encoding", "mu-law").returncode == 2

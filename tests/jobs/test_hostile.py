"""Files that are broken or malicious: one row each, and no other file is affected."""

import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from broken import Broken, broken, silence
from encoded import ENCODINGS, EXACT, Encoding

from batch_ser.audio.recording import Recording
from batch_ser.audio.samples import Samples
from batch_ser.errors import FileError
from jobs import RunConfig, run

MAGIC = [
    b"RIFF\x24\x10\0\0WAVEfmt ",
    b"RIFX\0\0\x10\x24WAVEfmt ",
    b"RF64\xff\xff\xff\xffWAVEds64",
    b"BW64\xff\xff\xff\xffWAVEds64",
    b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0",
    b"FORM\0\0\x10\0AIFFCOMM",
    b"FORM\0\0\x10\0AIFCFVER",
    b".snd\0\0\0\x18",
    b"dns.\x18\0\0\0",
    b"caff\0\1\0\0desc",
    b"fLaC",
    b"fLaC\0\0\0\x22",
    b"OggS\0\x02",
    b"OggS",
    b"ID3\3\0\0\0\0\0\x10",
    b"\xff\xfb\x90\x64",
    b"\xff\xf1\x50\x80",
    b"\x56\xe0",
    b"\x0b\x77",
    b"#!AMR\n",
    b"#!AMR-WB\n",
    b"\0\0\0\x20ftypM4A ",
    b"\0\0\0\x20ftypisom",
    b"\0\0\x10\0moov",
    b"\x1a\x45\xdf\xa3",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c",
    b"RIFF\x24\x10\0\0AVI LIST",
    b"FLV\1\5",
    b"wvpk",
    b"TTA1\1\0",
    b"MAC \x96\x0f",
    b"NIST_1A\n   1024\n",
    b"Creative Voice File\x1a\x1a\0",
    b"\0\0\1\xba",
    b"\x64\xa3\1\0",
    b"2BIT",
    b"MATLAB 5.0 MAT-file",
    b"FORM\0\0\x10\08SVXVHDR",
    b" paf\0\0\0\0",
    b"PVF1\n1 8000 16\n",
    b"Extended Instrument: ",
    b"\xf0\x7e\0\1",
    b"ALawSoundFile**\0",
    b"\1\4",
    b"\0\0\x10\0\0\1\xe8\x48\0\2\0\0",
]


def status(row: dict[str, Any]) -> str:
    return str(row["reason"] or row["status"])


@pytest.fixture(scope="module")
def clip(speech: Samples) -> Samples:
    """Two seconds of real speech, 16 kHz."""
    return speech[30_000:62_000]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, clip: Samples) -> list[Broken]:
    return broken(clip, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def tables(
    hostile: list[Broken],
    archive: Path,
    checkpoint_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[dict[str, Any]]]:
    """Rows of a job over all of them and good files between them, and over the good ones alone."""
    root = tmp_path_factory.mktemp("hostile")
    folders = {"good": root / "good", "both": root / "both"}
    for folder in folders.values():
        folder.mkdir()
        for path in sorted(archive.rglob("call*")):
            (folder / path.name).write_bytes(path.read_bytes())
    for each in hostile:
        each.write(folders["both"])
    found = {}
    for name, folder in folders.items():
        out = root / f"{name}.parquet"
        whole = {"method": "whole"}
        config = RunConfig(
            (str(folder),), str(out), str(checkpoint_path), segment=whole, engine="inline"
        )
        report = run(config)
        assert report.exit_code == (3 if name == "both" else 0)
        found[name] = pq.read_table(out).to_pylist()
        found[f"{name} files"] = pq.read_table(out.with_suffix(".files.parquet")).to_pylist()
    return found


def test_each_has_exactly_one_row_with_its_reason(
    hostile: list[Broken], tables: dict[str, list[dict[str, Any]]]
) -> None:
    rows = {row["file"]: row for row in tables["both files"]}
    assert len(rows) == len(tables["both files"])
    assert rows.keys() >= {each.name for each in hostile}
    wrong = []
    for each in hostile:
        row = rows[each.name]
        text = row["message"] or row["note"] or ""
        if status(row) != each.outcome or each.expected not in text:
            wrong.append((each.name, each.outcome, each.expected, status(row), text))
        assert (row["status"] == "failed") == bool(row["message"])
        if not each.expected and row["status"] != "failed":
            assert row["note"] is None, each.name
    assert not wrong


def test_good_files_beside_them_are_as_if_alone(tables: dict[str, list[dict[str, Any]]]) -> None:
    good = {row["file"] for row in tables["good files"]}
    among = [row for row in tables["both"] if row["file"] in good]
    assert len(good) == 20
    assert [list(row.values())[:5] for row in among] == [
        list(row.values())[:5] for row in tables["good"]
    ]
    for mine, alone in zip(among, tables["good"], strict=True):
        for name, value in alone.items():
            if name.startswith("p_"):
                assert mine[name] == pytest.approx(value, abs=1e-4)
    others = ("modified", "p_neutral", "p_happy", "p_sad", "p_angry")
    for row in tables["good files"]:
        same = next(each for each in tables["both files"] if each["file"] == row["file"])
        assert {k: v for k, v in same.items() if k not in others} == {
            k: v for k, v in row.items() if k not in others
        }


def test_probabilities_are_finite_and_sum_to_one(tables: dict[str, list[dict[str, Any]]]) -> None:
    names = [name for name in tables["both"][0] if name.startswith("p_")]
    scores = np.array([[row[name] for name in names] for row in tables["both"]])
    assert np.isfinite(scores).all()
    assert np.abs(scores.sum(axis=1) - 1).max() < 1e-5


def test_the_seconds_of_every_file_add_up(tables: dict[str, list[dict[str, Any]]]) -> None:
    for row in tables["both files"]:
        if row["status"] != "failed":
            parts = ("scored_s", "not_speech_s", "too_short_s", "not_asked_s")
            frames = [round(row[part] * row["sample_rate_hz"]) for part in parts]
            assert round(row["decoded_s"] * row["sample_rate_hz"]) == sum(frames), row["file"]


def decoded_status(path: Path) -> str:
    """`ok` or the reason: no other error than FileError may be raised, and samples are finite."""
    failure: FileError | None = None
    try:
        recording = Recording(str(path))
        for block in recording.blocks():
            assert np.isfinite(block).all()
            assert block.shape[1] == recording.channels
    except FileError as error:
        failure = error
    assert failure is None or str(failure)
    return str(failure.reason) if failure else "ok"


def decoded(path: Path) -> tuple[Samples, list[str]]:
    recording = Recording(str(path))
    return np.concatenate(list(recording.blocks())), recording.notes


@pytest.mark.timeout(60)
@pytest.mark.parametrize("magic", MAGIC, ids=lambda magic: magic[:12].hex())
def test_random_bytes_after_a_valid_start(magic: bytes, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    seen = set()
    for size in (8, 100, 3_000, 40_000):
        path = tmp_path / "a.wav"
        path.write_bytes(magic + rng.bytes(size))
        seen.add(decoded_status(path))
    assert seen <= {"ok", "corrupt", "unsupported", "no_audio", "bad_rate", "bad_channels"}
    assert seen - {"ok"} or magic.startswith((b"#!AMR", b".snd", b"dns.", b"PVF1"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.file)
def test_damage_anywhere(encoding: Encoding, tmp_path: Path, clip: Samples) -> None:
    """Flipped bits, overwritten fields, bytes lost and doubled: in the header and after it."""
    whole = encoding.write(tmp_path, clip).read_bytes()
    rng = random.Random(encoding.file)
    for round_ in range(24):
        data = bytearray(whole)
        reach = min(len(data), rng.choice((64, 512, len(data))))
        for _ in range(rng.choice((1, 4, 30))):
            at = rng.randrange(reach)
            if round_ % 3 == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif round_ % 3 == 1:
                data[at : at + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"))
            else:
                other = rng.randrange(len(data))
                data[at : at + rng.randrange(99)] = data[other : other + rng.randrange(99)]
        path = tmp_path / f"damaged-{encoding.file}"
        path.write_bytes(data)
        decoded_status(path)


WITHOUT_LENGTH = {  # frames without a container, or without a stated length: a cut is not noticed
    "low.mp3",
    "layer2.mp3",
    "adts.aac",
    "aac.ts",
    "amr.amr",
    "low.amr",
    "mp3.flv",
    "ac3.ac3",
}
LAST_FRAMES = 4_096  # samples of a lossy codec that depend on what was cut off


@pytest.mark.timeout(120)
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.file)
def test_cut_anywhere(encoding: Encoding, tmp_path: Path, clip: Samples) -> None:
    """The longer the part, the more is decoded: samples of the whole file, and a note."""
    path = encoding.write(tmp_path, clip)
    data, whole = path.read_bytes(), decoded(path)[0]
    lengths = []
    for share in (0.01, 0.5, 0.9):
        path.write_bytes(data[: round(share * len(data))])
        reason = decoded_status(path)
        assert reason in ("ok", "no_audio", "corrupt", "unsupported")
        lengths.append(0)
        if reason == "ok":
            part, notes = decoded(path)
            assert notes or encoding.file in WITHOUT_LENGTH
            same = min(len(part), len(whole))
            same -= 0 if encoding.share == EXACT else min(same, LAST_FRAMES)
            assert np.abs(part[:same] - whole[:same]).max(initial=0) < 1e-6
            lengths[-1] = len(part)
    assert all(shorter <= longer for shorter, longer in pairwise([*lengths, len(whole) + 4_096]))


GROWTH = """
import resource, sys
from batch_ser.audio import Recording
for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    recording = Recording(path)
    seconds = sum(len(block) for block in recording.blocks()) / recording.rate_hz
    print(round(seconds), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def growth(*paths: Path) -> list[tuple[int, int]]:
    """Seconds decoded of each file, and by how many MB it raised the peak of a new process."""
    command = [sys.executable, "-c", GROWTH, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    return [(int(a), int(b)) for a, b in (line.split() for line in done.stdout.splitlines())]


@pytest.mark.slow
def test_fifty_megabytes_of_cover_art(tmp_path: Path, clip: Samples) -> None:
    """In an ID3 tag, and as FLAC pictures; each twice the memory that may be used."""
    plain, art, flac = tmp_path / "a.mp3", tmp_path / "art.mp3", tmp_path / "art.flac"
    soundfile.write(plain, clip, 16_000)
    picture = b"\0image/jpeg\0\3\0" + bytes(50 << 20)
    frame = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    art.write_bytes(b"ID3\3\0\0" + size + frame + plain.read_bytes())
    soundfile.write(flac, clip, 16_000)
    data = flac.read_bytes()
    block = b"\6" + (12 << 20).to_bytes(3, "big") + bytes(12 << 20)
    flac.write_bytes(data[:42] + block * 4 + data[42:])
    joined = tmp_path / "joined.mp3"  # this one FFmpeg decodes
    joined.write_bytes(art.read_bytes() + plain.read_bytes())
    soundfile.write(tmp_path / "a.flac", clip, 16_000)
    found = growth(plain, tmp_path / "a.flac", art, flac, joined)
    assert [seconds for seconds, _ in found] == [2, 2, 2, 2, 4]
    assert all(megabytes < 25 for _, megabytes in found[2:4])
    assert found[4][1] < 60  # FFmpeg's libraries among it


@pytest.mark.slow
def test_an_hour_of_silence_in_a_small_file(tmp_path: Path) -> None:
    """It decodes to 230 MB of samples, of which one block is held at a time."""
    bombs = {tmp_path / "a.flac": 60, tmp_path / "a.opus": 6}
    for path, minutes in bombs.items():
        silence(path, minutes)
        assert path.stat().st_size < 20_000 * minutes
    found = growth(*bombs)
    assert [seconds for seconds, _ in found] == [60 * minutes for minutes in bombs.values()]
    assert all(megabytes < 25 for _, megabytes in found)

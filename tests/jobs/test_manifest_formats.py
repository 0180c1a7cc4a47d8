"""Rows are the same whatever way recordings come in: folders, globs, manifests of every kind."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from manifests import FORMATS, WITH_SEGMENTS, Line, lhotse_recordings
from results import assert_holds, score, tables

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError

LINES: list[Line] = [
    {"file": "mono.wav", "agent": "Ann", "queue": "1"},
    {"file": "sub/stereo.wav", "agent": "Ben", "queue": "2"},
]
SEGMENTS: list[Line] = [
    {"file": "mono.wav", "start_s": 0.0, "end_s": 1.5, "speaker": "A", "text": "x", "take": 1},
    {"file": "mono.wav", "start_s": 1.0, "end_s": 4.25, "speaker": "B", "text": "", "take": 2},
    {"file": "sub/stereo.wav", "start_s": 0.5, "end_s": 3.0, "speaker": "A", "text": "", "take": 3},
    {
        "file": "sub/stereo.wav",
        "start_s": 1.0,
        "end_s": 5.0,
        "speaker": "B",
        "text": "z",
        "take": 4,
    },
]


@pytest.fixture
def corpus(tmp_path: Path, speech: Samples) -> Path:
    """A mono and a stereo call of 5 s."""
    (tmp_path / "sub").mkdir()
    soundfile.write(tmp_path / "mono.wav", speech[: 5 * 16_000], 16_000)
    both = np.stack([speech[: 5 * 16_000], speech[80_000 : 80_000 + 5 * 16_000]], axis=1)
    soundfile.write(tmp_path / "sub" / "stereo.wav", both, 16_000)
    return tmp_path


def assert_same_rows(left: Path, right: Path, *further: str) -> None:
    """All columns but those that only one has, and `further`."""
    for one, other in zip(tables(left), tables(right), strict=True):
        names = [each for each in one.columns if each in other.columns and each not in further]
        assert "file" in names
        pd.testing.assert_frame_equal(one[names], other[names], atol=1e-4, rtol=0)


def test_rows_do_not_depend_on_the_way_in(corpus: Path, checkpoint_path: Path) -> None:
    """Folder, glob and every manifest; these also have the same columns."""
    score(corpus, corpus / "folder.parquet", checkpoint_path)
    assert len(tables(corpus / "folder.parquet")[0]) >= 3
    score(Path(f"{corpus}/**/*.wav"), corpus / "glob.parquet", checkpoint_path)
    assert_same_rows(corpus / "folder.parquet", corpus / "glob.parquet")
    for name, write in FORMATS.items():
        path, out = write(corpus, LINES), corpus / f"{name}.parquet"
        score(path, out, checkpoint_path)
        path.unlink()
        assert_same_rows(corpus / "folder.parquet", out)
        agents = tables(out)[0].groupby("file")[["agent", "queue"]].agg(set)
        assert agents.to_numpy().tolist() == [[{"Ann"}, {"1"}], [{"Ben"}, {"2"}]]
        assert_holds(out)
    path = lhotse_recordings(corpus, LINES)
    score(path, corpus / "lhotse.parquet", checkpoint_path)
    assert_same_rows(corpus / "folder.parquet", corpus / "lhotse.parquet")


def test_an_audio_folder_has_the_rows_of_a_folder(corpus: Path, checkpoint_path: Path) -> None:
    """One of both recordings has no line: its columns are null."""
    score(corpus, corpus / "before.parquet", checkpoint_path)
    FORMATS["metadata"](corpus, LINES[:1])
    out = corpus / "after.parquet"
    score(corpus, out, checkpoint_path)
    assert_same_rows(corpus / "before.parquet", out)
    segments = tables(out)[0].set_index("file")
    assert set(segments.loc[["mono.wav"], "agent"]) == {"Ann"}
    assert segments.loc[["sub/stereo.wav"], "agent"].isna().all()
    assert_holds(out)


def test_given_segments_do_not_depend_on_the_way_in(corpus: Path, checkpoint_path: Path) -> None:
    out = corpus / "expected.parquet"
    for name, write in WITH_SEGMENTS.items():
        lines = SEGMENTS if name != "lhotse cuts" else SEGMENTS[:2]  # its recordings are mono
        path = write(corpus, lines)
        found = corpus / f"{name}.parquet" if out.exists() else out
        score(path, found, checkpoint_path)
        path.unlink()
        segments, _ = tables(found)
        assert segments["take"].tolist() == (
            ["1", "2", "3", "4", "3", "4"] if len(lines) > 2 else ["1", "2"]
        )
        if len(lines) > 2:
            assert_same_rows(out, found)
        assert_holds(found)


def test_an_open_end_is_the_recording_s(corpus: Path, checkpoint_path: Path) -> None:
    texts = ("file,start_s,end_s\nmono.wav,2,5\n", "file,start,end\nmono.wav,0 days 00:00:02,NaT\n")
    for number, text in enumerate((*texts, "file,start_s,end_s\nmono.wav,2,\n")):
        (corpus / "list.csv").write_text(text)
        score(corpus / "list.csv", corpus / f"{number}.parquet", checkpoint_path)
        assert_same_rows(corpus / "0.parquet", corpus / f"{number}.parquet", "given")
    (corpus / "list.csv").write_text("file,start_s,end_s\nmono.wav,6,\n")
    report = score(corpus / "list.csv", corpus / "beyond.parquet", checkpoint_path)
    assert report.record.counts.reasons == {"bad_segment": 1}


def test_a_manifest_of_another_format_goes_on_with_the_job(
    corpus: Path, checkpoint_path: Path
) -> None:
    """The rows are those of the files; a wrong manifest changes nothing."""
    out = corpus / "out.parquet"
    path = FORMATS["jsonl"](corpus, LINES)
    score(path, out, checkpoint_path)
    before = out.read_bytes()
    path.write_text(path.read_text() + "{oops\n")
    with pytest.raises(UsageError, match="line 4: not JSON"):
        score(path, out, checkpoint_path)
    assert out.read_bytes() == before
    path.write_text('{"file": "mono.wav", "queue": 1, "agent": "Ann"}\n{"file": "gone.wav"}\n')
    with pytest.raises(UsageError, match="manifest_columns was"):
        score(path, out, checkpoint_path)
    path.write_text('{"file": "mono.wav", "agent": "Ann", "queue": 1}\n{"file": "gone.wav"}\n')
    report = score(path, out, checkpoint_path)
    assert report.record.counts.reasons == {"not_found": 1}
    assert set(tables(out)[1]["file"]) == {"mono.wav", "sub/stereo.wav", "gone.wav"}

"""Manifests with given segments: each line is a row, with its own times and values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from results import SCORES, assert_holds, assert_same_tables, score, tables

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from jobs import RunConfig, run
from jobs.adapt import adapt_again
from models import load_checkpoint


@pytest.fixture
def calls_at(tmp_path: Path, speech: Samples) -> Callable[[str], Path]:
    """Two calls, mono at 16 kHz and stereo at 44.1 kHz, and a manifest beside them."""
    soundfile.write(tmp_path / "mono.wav", speech[: 10 * 16_000], 16_000)
    both = np.stack([speech[: 8 * 44_100], speech[50_000 : 50_000 + 8 * 44_100]], axis=1)
    soundfile.write(tmp_path / "stereo.wav", both, 44_100)

    def manifest(text: str) -> Path:
        (tmp_path / "given.csv").write_text(text)
        return tmp_path / "given.csv"

    return manifest


LINES = """file,start_s,end_s,channel,speaker,id
stereo.wav,3.00001,4.5,1,Ben,1
mono.wav,0.25,3,,Anna,2
stereo.wav,0,2.2500113,,Cleo,3
mono.wav,1,2,0,Anna,4
mono.wav,1,2,0,Dora,5
stereo.wav,1.5,3,1.0,Ben,6
mono.wav,9.98,10,,Anna,7
mono.wav,,,,Anna,8
"""


def test_each_line_is_a_row(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path, speech: Samples
) -> None:
    """By channel and start, with the values and times of its own line."""
    out = tmp_path / "out.parquet"
    report = score(calls_at(LINES), out, checkpoint_path)
    assert_holds(out)
    assert report.record.configuration["segment"] == {}
    assert report.record.fingerprint["segment"]["method"] == "given"
    segments, files = tables(out)
    found = segments[["file", "channel", "segment", "speaker", "id"]].to_numpy().tolist()
    assert found == [
        ["mono.wav", 0, 0, "Anna", "8"],
        ["mono.wav", 0, 1, "Anna", "2"],
        ["mono.wav", 0, 2, "Anna", "4"],
        ["mono.wav", 0, 3, "Dora", "5"],
        ["mono.wav", 0, 4, "Anna", "7"],
        ["stereo.wav", 0, 0, "Cleo", "3"],
        ["stereo.wav", 1, 0, "Cleo", "3"],
        ["stereo.wav", 1, 1, "Ben", "6"],
        ["stereo.wav", 1, 2, "Ben", "1"],
    ]
    assert not {"in_start_s", "in_channel", "start_s_2"} & set(segments.columns)
    exact = [0, 0.25, 1, 1, 9.98, *(round(s * 44_100) / 44_100 for s in (0, 0, 1.5, 3.00001))]
    assert segments["start_s"].tolist() == exact
    assert segments["end_s"].tolist()[5] == round(2.2500113 * 44_100) / 44_100
    scores = segments[SCORES].to_numpy()
    expected = load_checkpoint(checkpoint_path).score(speech[4_000:48_000], 16_000)
    assert np.allclose(scores[1], expected, atol=1e-3)  # what was written has 16 bits
    assert np.array_equal(scores[2], scores[3])
    mono, stereo = files.iloc[0], files.iloc[1]
    assert (mono["segments"], stereo["segments"]) == (5, 4)
    assert mono["not_asked_s"] == 0.0  # one line is for the whole recording
    assert files["note"].isna().all()
    assert stereo["scored_s"] == pytest.approx(2.25 + 4.5, abs=1e-4)
    assert files["speech_s"].isna().all()  # no speech detection
    assert files["overlap_s"].isna().all()


def test_the_order_of_lines_makes_no_difference(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path
) -> None:
    head, *lines = LINES.splitlines()
    score(calls_at(LINES), tmp_path / "a.parquet", checkpoint_path)
    back = calls_at("\n".join([head, *reversed(lines)]))
    score(back, tmp_path / "b.parquet", checkpoint_path)
    assert_same_tables(tmp_path / "a.parquet", tmp_path / "b.parquet")


FAULTY = """file,start_s,end_s,channel,label
mono.wav,1,2,,sad
mono.wav,2,1,,sad
mono.wav,-1,2,,sad
mono.wav,soon,2,,sad
mono.wav,1,nan,,sad
mono.wav,1,inf,,sad
mono.wav,,2,,sad
mono.wav,1,1,,sad
mono.wav,1,2,left,sad
mono.wav,1,2,1.5,sad
mono.wav,1.0,2.0,,sad
mono.wav,1,2
./mono.wav,1,2,,sad
,1,2,,sad
mono.wav,1,2,,happy
mono.wav,1e305,1e306,,sad
mono.wav,1,1e9,,sad
"""


def test_every_bad_line_is_reported_before_anything_is_written(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("batch_ser.inputs.manifest.MAX_SHOWN", 50)
    with pytest.raises(UsageError) as caught:
        score(calls_at(FAULTY), tmp_path / "out.parquet", checkpoint_path)
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "line 3: starts at 2 s, which is not before its end at 1 s",
        "line 4: start_s is -1, expected seconds from the recording's start on",
        "line 5: start_s is soon, expected seconds from the recording's start on",
        "line 6: end_s is nan, expected seconds from the recording's start on",
        "line 7: end_s is inf, expected seconds from the recording's start on",
        "line 8: end_s is given and start_s is empty; give both, or neither for all of it",
        "line 9: starts at 1 s, which is not before its end at 1 s",
        "line 10: the channel is left, expected a number from 0, or nothing for all",
        "line 11: the channel is 1.5, expected a number from 0, or nothing for all",
        "line 12: mono.wav is in line 2 too, with the same segment",
        "line 13: found 3 values, expected 5",
        "line 14: mono.wav is in line 2 too, with the same segment",
        "line 15: the file column is empty",
        "line 17: end_s is 1e306, expected less than 1e+09 seconds",
        "line 17: start_s is 1e305, expected less than 1e+09 seconds",
        "line 18: end_s is 1e9, expected less than 1e+09 seconds",
    ]
    assert not list(tmp_path.glob("out*"))


def test_a_file_with_a_wrong_segment_fails_alone(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path
) -> None:
    lines = "mono.wav,2,3,\nmono.wav,9,11,\nstereo.wav,1,2,0\ngone.wav,1,2,\n../x.wav,1,2,\n"
    listed = calls_at(f"file,start_s,end_s,channel\n{lines}")
    soundfile.write(tmp_path / "one.wav", np.zeros(16_000), 16_000)
    listed.write_text(listed.read_text() + "one.wav,0,1,2\n")
    report = score(listed, tmp_path / "out.parquet", checkpoint_path)
    assert report.exit_code == 3
    segments, files = tables(tmp_path / "out.parquet")
    assert segments["file"].tolist() == ["stereo.wav"]
    failed = files.set_index("file")
    assert failed["reason"].dropna().to_dict() == {
        "../x.wav": "outside_root",
        "gone.wav": "not_found",
        "mono.wav": "bad_segment",
        "one.wav": "bad_channels",
    }
    assert "from 9 s to 11 s; the recording ends at 10.000 s" in failed["message"]["mono.wav"]
    assert "channel 2, the recording has 1" in failed["message"]["one.wav"]
    known = failed.loc["one.wav", ["codec", "sample_rate_hz", "channels"]]
    assert known.tolist() == ["wav/pcm_16", 16_000, 1]
    assert_holds(tmp_path / "out.parquet")


def test_short_segments_are_scored_unless_min_s_is_given(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path
) -> None:
    listed = calls_at("file,start_s,end_s\nmono.wav,2,2.01\nmono.wav,5,5.005\nmono.wav,4.9,6\n")
    score(listed, tmp_path / "a.parquet", checkpoint_path)
    segments, files = tables(tmp_path / "a.parquet")
    assert segments["start_s"].tolist() == [2.0, 4.9]
    assert files["too_short_s"].tolist() == [0.0]  # the shorter one is inside another,
    assert files["note"].tolist() == ["too_short"]  # and is still noted
    assert_holds(tmp_path / "a.parquet")
    score(listed, tmp_path / "b.parquet", checkpoint_path, segment={"min_s": 0.5})
    segments, files = tables(tmp_path / "b.parquet")
    assert segments["start_s"].tolist() == [4.9]
    assert files["too_short_s"].tolist() == [0.01]
    assert files["note"].tolist() == ["too_short"]
    assert_holds(tmp_path / "b.parquet")


def test_other_segments_of_a_file_are_scored_again(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path
) -> None:
    """Changed times or values, and added files; what stays the same is not touched."""
    out, head = tmp_path / "out.parquet", "file,start_s,end_s,who\n"
    report = score(calls_at(f"{head}mono.wav,1,2,a\n"), out, checkpoint_path)
    listed = calls_at(f"{head}stereo.wav,1,2,b\nmono.wav,1,2,a\n")
    score(listed, out, checkpoint_path)
    assert tables(out)[0]["who"].tolist() == ["a", "b", "b"]
    before = out.stat().st_mtime_ns
    score(calls_at(f"{head}mono.wav,1.0,2,a\nstereo.wav,1,2,b\n"), out, checkpoint_path)
    assert out.stat().st_mtime_ns == before
    score(calls_at(f"{head}mono.wav,1,2.5,a\nstereo.wav,1,2,c\n"), out, checkpoint_path)
    segments, _ = tables(out)
    assert segments["end_s"].tolist() == [2.5, 2.0, 2.0]
    assert segments["who"].tolist() == ["a", "c", "c"]
    (tmp_path / "mono.wav").unlink()
    score(calls_at(f"{head}mono.wav,1,2.5,a\nstereo.wav,1,2,c\n"), out, checkpoint_path)
    assert len(tables(out)[0]) == 3  # a file that is gone keeps its rows,
    report = score(calls_at(f"{head}mono.wav,1,2,a\nstereo.wav,1,2,c\n"), out, checkpoint_path)
    assert report.exit_code == 3  # but not those of other segments
    assert tables(out)[0]["file"].tolist() == ["stereo.wav", "stereo.wav"]
    assert_holds(out)


def test_dual_mono_unless_a_line_names_a_channel(
    checkpoint_path: Path, tmp_path: Path, speech: Samples
) -> None:
    for name in ("any.wav", "named.wav"):
        both = np.stack([speech[:48_000], speech[:48_000]], axis=1)
        soundfile.write(tmp_path / name, both, 16_000)
    listed = tmp_path / "given.csv"
    listed.write_text("file,start_s,end_s,channel\nany.wav,1,2,\nnamed.wav,1,2,1\nnamed.wav,1,2,\n")
    score(listed, tmp_path / "out.parquet", checkpoint_path)
    segments, files = tables(tmp_path / "out.parquet")
    assert segments[["file", "channel"]].to_numpy().tolist() == [
        ["any.wav", 0],
        ["named.wav", 0],
        ["named.wav", 1],
        ["named.wav", 1],
    ]
    assert files["note"].fillna("").tolist() == ["dual_mono", ""]
    assert_holds(tmp_path / "out.parquet")


def test_what_does_not_go_together_is_refused(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path, calls: Path
) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(UsageError, match="columns file, start_s and end_s"):
        score(calls, out, checkpoint_path, segment={"method": "given"})
    one = "file,start_s,end_s,channel\nstereo.wav,1,2,1\n"
    for channels in ("0", "mix"):
        with pytest.raises(UsageError, match="segments of channel 1, which this leaves out"):
            score(calls_at(one), out, checkpoint_path, channels=channels)
    with pytest.raises(UsageError, match=r"-1, the mixture, .* out; --channels mix takes it"):
        score(calls_at(one.replace(",1\n", ",-1\n")), out, checkpoint_path)
    with pytest.raises(UsageError, match="is in line 3 too, with other values"):
        score(calls_at(LINES), out, checkpoint_path, segment={"method": "speech"})
    other = tmp_path / "other.csv"
    other.write_text(LINES)
    two = RunConfig((str(calls_at(LINES)), str(other)), str(out), str(checkpoint_path))
    with pytest.raises(UsageError, match=r"wav are in .* too; put all lines of a file into one"):
        run(two)
    assert not list(tmp_path.glob("out*"))


def test_manifests_in_two_folders_have_segments_of_two_files(
    checkpoint_path: Path, tmp_path: Path, speech: Samples
) -> None:
    """Both are called a.wav: neither is lost, and no message asks to merge them."""
    for number, day in enumerate(("d1", "d2")):
        (tmp_path / day).mkdir()
        soundfile.write(tmp_path / day / "a.wav", speech[number * 48_000 :][:48_000], 16_000)
        (tmp_path / day / "m.csv").write_text(f"file,start_s,end_s,id\na.wav,1,2,{day}\n")
    out = tmp_path / "out.parquet"
    inputs = tuple(str(tmp_path / day / "m.csv") for day in ("d1", "d2"))
    run(RunConfig(inputs, str(out), str(checkpoint_path), engine="inline"))
    segments, files = tables(out)
    assert segments["id"].tolist() == ["d1", "d2"]
    assert files["file"].tolist() == [str(tmp_path / day / "a.wav") for day in ("d1", "d2")]
    assert_holds(out)


def test_mixed_segments(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path
) -> None:
    """A segments table of mixed channels is a manifest too: its channel is -1."""
    listed = calls_at("file,start_s,end_s,channel\nstereo.wav,1,2,-1\nstereo.wav,3,4,\n")
    score(listed, tmp_path / "out.parquet", checkpoint_path, channels="mix")
    segments, files = tables(tmp_path / "out.parquet")
    assert segments["channel"].tolist() == [-1, -1]
    assert files["scored_s"].tolist() == [4.0]
    assert_holds(tmp_path / "out.parquet")


def test_another_segmenter_keeps_the_columns(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path
) -> None:
    """`--segment` on the command line: then times are values like all others."""
    listed = calls_at("file,start_s,end_s\nmono.wav,1,2\n")
    score(listed, tmp_path / "out.parquet", checkpoint_path, segment={"method": "whole"})
    segments, files = tables(tmp_path / "out.parquet")
    row = segments.iloc[0]
    assert (row["start_s"], row["end_s"], row["in_start_s"], row["in_end_s"]) == (0, 10, "1", "2")
    assert "given" not in files.columns


def test_results_are_a_manifest_several_times(
    calls_at: Callable[[str], Path], checkpoint_path: Path, tmp_path: Path
) -> None:
    """Each round's emotion keeps a column of its own."""
    out = tmp_path / "out.parquet"
    listed = calls_at("file,start_s,end_s\nmono.wav,1,2\n")
    for number in range(3):
        score(listed, out, checkpoint_path, restart=number > 0)
        segments = tables(out)[0]
        assert len(segments) == 1
        listed = calls_at(segments.assign(emotion=f"round {number}").to_csv(index=False))
    assert (segments["in_emotion"][0], segments["in_in_emotion"][0]) == ("round 0", "round 1")
    listed = calls_at("file,in_in_start_s,start_s,in_start_s,end_s\nmono.wav,7,1,8,2\n")
    score(listed, out, checkpoint_path, segment={"method": "whole"}, restart=True)
    names = ["in_in_start_s", "in_in_in_start_s", "in_start_s", "in_end_s"]
    assert tables(out)[0][names].to_numpy().tolist() == [["7", "1", "8", "2"]]
    assert_holds(out)


def test_adapted_by_a_column_of_its_lines(calls_at: Callable[[str], Path], tmp_path: Path) -> None:
    """Each segment in the group of its own line; `adapt` keeps the given segments."""
    lines = "".join(
        f"mono.wav,{start},{start + 1},{'Anna' if start % 2 else 'Ben'}\n" for start in range(10)
    )
    listed, out = calls_at(f"file,start_s,end_s,speaker\n{lines}"), tmp_path / "out.parquet"
    score(listed, out, Path("accurate"), adapt="speaker")
    assert_holds(out)
    adapted = tables(out)[0]
    score(listed, tmp_path / "plain.parquet", Path("accurate"), adapt="none")
    plain = tables(tmp_path / "plain.parquet")[0]
    assert adapted["speaker"].tolist() == ["Ben", "Anna"] * 5
    assert not np.allclose(adapted["confidence"], plain["confidence"])
    adapt_again(str(out), "none")
    again = tables(out)[0]
    assert np.allclose(again["confidence"], plain["confidence"])
    before = out.stat().st_mtime_ns
    score(listed, out, Path("accurate"), adapt="none")
    assert out.stat().st_mtime_ns == before  # the segments are the same

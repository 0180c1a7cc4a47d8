"""Copies of a recording, found by content."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from labelled import ENTRIES, record, write_csv

from batch_ser.audio.samples import Samples
from train.data.copies import content_of, drop_copies
from train.data.corpora import read_data
from train.data.manifest import read_folder, read_manifest
from train.data.utterances import Utterance


def test_a_doubled_download_is_used_once(trees: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = read_data([f"savee:{trees / 'savee'}"])
    shutil.copytree(trees / "savee", trees / "savee" / "again" / "savee")
    doubled = read_data([f"savee:{trees / 'savee'}"])
    assert len(doubled) == 2 * len(once)
    capsys.readouterr()
    kept, contents = drop_copies(doubled, allow=False)
    assert [each.key for each in kept] == [each.key for each in once]
    assert contents == [content_of(each) for each in kept]
    assert len(set(contents)) == len(once)
    printed = capsys.readouterr().err
    assert "3 of 6 recordings are copies of others" in printed
    assert "--allow-duplicates" in printed
    assert "another label" not in printed
    everything, contents = drop_copies(doubled, allow=True)
    assert everything == doubled
    assert len(set(contents)) == len(once)
    drop_copies(once, allow=False)
    assert "copies of others" not in capsys.readouterr().err.rpartition("all are kept")[2]


def test_another_container_holds_the_same_audio_another_level_does_not(
    tmp_path: Path, speech: Samples
) -> None:
    samples = np.round(speech[16_000:24_000] * 20_000).astype(np.int16)
    for suffix in ("wav", "flac", "aiff", "au"):
        soundfile.write(tmp_path / f"a.{suffix}", samples, 16_000, subtype="PCM_16")
    soundfile.write(tmp_path / "quieter.wav", samples // 2, 16_000)
    soundfile.write(tmp_path / "slower.wav", samples, 8_000)
    contents = {
        path.name: content_of(Utterance(path, "sad", "", "", "")) for path in tmp_path.iterdir()
    }
    assert len({contents[f"a.{suffix}"] for suffix in ("wav", "flac", "aiff", "au")}) == 1
    assert len(set(contents.values())) == 3


def test_copies_that_contradict_each_other_are_listed(
    tmp_path: Path, speech: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        record(tmp_path / "angry" / f"{number:02}.wav", speech, number)
        record(tmp_path / "sad" / f"{number:02}.flac", speech, number)
    kept, _ = drop_copies(read_folder(tmp_path), allow=False)
    assert [each.label for each in kept] == ["angry"] * 12
    printed = capsys.readouterr().err
    assert "12 of these copies carry another label" in printed
    assert printed.count(" is sad, ") == 10
    assert "sad/03.flac is sad, " in printed
    assert "and 2 more" in printed


def test_a_copy_in_a_folder_of_one_s_own_is_a_copy(
    trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever its name: only a corpus that tells takes apart by names may hold one twice."""
    savee = read_data([f"savee:{trees / 'savee'}"])
    own = tmp_path / "own" / "sad"
    own.mkdir(parents=True)
    shutil.copy(savee[0].path, own / f"own{savee[0].path.suffix}")
    shutil.copy(savee[0].path, own / f"again{savee[0].path.suffix}")
    kept, _ = drop_copies([*savee, *read_folder(tmp_path / "own")], allow=False)
    assert len(kept) == len(savee)
    assert "2 of 5 recordings are copies of others" in capsys.readouterr().err


def test_segments_of_one_recording_are_no_copies(folder: Path) -> None:
    utterances = read_manifest(write_csv(folder / "calls.csv", ENTRIES))
    kept, contents = drop_copies(utterances, allow=False)
    assert kept == utterances
    assert len(set(contents)) == len(ENTRIES)


@pytest.mark.slow
def test_the_recording_that_ravdess_itself_holds_twice_is_kept(shared: Path) -> None:
    """Under two names: published folds count both."""
    utterances = read_data([f"ravdess:{shared / 'data' / 'ravdess'}"])
    kept, contents = drop_copies(utterances, allow=False)
    assert kept == utterances
    twice = {content for content in contents if contents.count(content) > 1}
    same = [each.key for each, content in zip(kept, contents, strict=True) if content in twice]
    assert same == ["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]

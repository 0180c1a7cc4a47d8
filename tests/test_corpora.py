"""The corpora: what file names tell, and the overview of what there is."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile
from labelled import NAMES, STRANGERS

from batch_ser.errors import UsageError
from batch_ser.samples import Samples
from train.copies import drop_copies
from train.corpora import CORPORA, overview, read_data
from train.labels import SHARED, in_order


@pytest.mark.parametrize("kind", CORPORA)
def test_names_of_a_corpus_tell_label_speaker_sex_language_and_intensity(
    kind: str, trees: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trees / kind / "._hidden.wav").write_bytes(b"")
    (trees / kind / "__MACOSX" / "._1157_kz_acik.flac").parent.mkdir()
    (trees / kind / "__MACOSX" / "._1157_kz_acik.flac").write_bytes(b"")
    found = {
        each.path.relative_to(trees / kind).as_posix(): (
            each.label, each.speaker, each.sex, each.language, each.intensity
        ) for each in read_data([f"{kind}:{trees / kind}"])
    }  # fmt: skip
    assert found == NAMES[kind]
    assert not capsys.readouterr().err


@pytest.mark.parametrize("kind", CORPORA)
def test_other_names_are_left_out_and_told(
    kind: str, trees: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in STRANGERS[kind]:
        (trees / kind / f"{name}.wav").write_bytes(b"")
    assert len(read_data([f"{kind}:{trees / kind}"])) == len(NAMES[kind])
    strange, all_of_them = len(STRANGERS[kind]), len(STRANGERS[kind]) + len(NAMES[kind])
    assert f"{strange} of {all_of_them} recordings are not named as in" in capsys.readouterr().err
    assert all(CORPORA[kind].parse(Path(f"x/{name}.wav")) is None for name in STRANGERS[kind])


def test_the_sexes_of_crema_d_stand_beside_or_above_its_recordings(trees: Path) -> None:
    def sexes() -> list[str]:
        return [each.sex for each in read_data([f"crema-d:{trees / 'crema-d'}"])]

    table = trees / "crema-d" / "VideoDemographics.csv"
    assert sexes() == ["male", "female", "", ""]
    table.rename(trees / "VideoDemographics.csv")
    assert sexes() == ["male", "female", "", ""]
    (trees / "VideoDemographics.csv").rename(trees / "other.csv")
    assert sexes() == [""] * 4
    table.write_text("Actor;Sex\n1001;Male\n")
    with pytest.raises(UsageError, match="columns ActorID and Sex"):
        sexes()


def test_a_name_does_not_depend_on_where_the_data_lies(trees: Path) -> None:
    kinds = [f"{kind}:{trees / kind}" for kind in CORPORA]
    here = read_data(kinds)
    assert here[0].name == "ravdess:Actor_01/03-01-01-01-02-01-01.flac"
    assert len({each.name for each in here}) == len(here)
    shutil.copytree(trees, trees / "moved" / "here")
    there = read_data([f"{kind}:{trees / 'moved' / 'here' / kind}" for kind in CORPORA])
    assert [each.name for each in there] == [each.name for each in here]


def test_songs_are_told_from_speech(trees: Path) -> None:
    utterances = read_data([f"ravdess:{trees / 'ravdess'}"])
    assert [each.style for each in utterances] == ["speech", "speech", "song"]
    assert "style: song 1, speech 2" in overview(utterances)


def test_the_overview_counts_corpora_against_labels(trees: Path) -> None:
    told = overview(read_data([f"{kind}:{trees / kind}" for kind in ("savee", "turev")]))
    assert "5 recordings, 0.00 h, 5 speakers; 0.50 to 0.50 s" in told
    assert "corpus: savee 3, turev 2" in told
    assert "sex: male 3, unknown 2" in told
    assert "language: en 3, tr 2" in told
    rows = [line.split() for line in told.splitlines()]
    assert ["sad", "1", "1"] in rows
    assert ["surprised", "1", "0"] in rows
    assert "corpus" not in overview(read_data([f"savee:{trees / 'savee'}"]))


def test_a_folder_has_the_recordings_that_a_job_finds(tmp_path: Path, speech: Samples) -> None:
    for number, name in enumerate(("angry/a.caf", "sad/b.wav", "sad/c.aifc")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        kind = {".aifc": "AIFF", ".caf": "CAF", ".wav": "WAV"}[Path(name).suffix]
        soundfile.write(tmp_path / name, speech[: 8_000 + number], 16_000, format=kind)
    (tmp_path / "sad" / "b.wav").rename(tmp_path / "sad" / "b.wave")
    utterances = read_data([f"folder:{tmp_path}"])
    found = [each.path.relative_to(tmp_path).as_posix() for each in utterances]
    assert found == ["angry/a.caf", "sad/b.wave", "sad/c.aifc"]
    assert "3 recordings" in overview(utterances)


def test_recordings_that_cannot_be_opened_are_listed_together(trees: Path) -> None:
    (trees / "savee" / "DC_a02.wav").write_bytes(b"")
    (trees / "savee" / "DC_a03.wav").write_text("no audio at all")
    utterances = read_data([f"savee:{trees / 'savee'}"])
    for use in (overview, lambda given: drop_copies(given, allow=True)):
        with pytest.raises(UsageError) as caught:
            use(utterances)
        assert "DC_a02.wav: the file is empty" in str(caught.value)
        assert "DC_a03.wav: DC_a03.wav holds text" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (["tapes:."], "ravdess crema-d tess savee emo-db ased turev folder manifest"),
        (["ravdess"], "expected KIND:PATH"),
        (["ravdess:nowhere"], "there is no folder nowhere"),
        (["folder:nowhere"], "there is no folder nowhere"),
        (["manifest:nowhere.csv"], "there is no such manifest"),
        (["tess:TREES/savee"], "none of 3 recordings there is named as in TESS"),
        (["savee:TREES/savee", "savee:TREES/turev/../savee"], "the same data as --data savee:"),
        (["savee:TREES/savee", "folder:TREES/savee"], "give it once"),
    ],
)
def test_data_that_cannot_be_read(trees: Path, data: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_data([each.replace("TREES", str(trees)) for each in data])


@pytest.mark.parametrize(
    ("kind", "recordings", "speakers", "labels"),
    [
        ("ravdess", 1440, 24, SHARED[:8]),
        ("ased", 2474, 65, ("neutral", "happy", "sad", "angry", "fearful")),
        ("turev", 1735, 6, ("calm", "happy", "sad", "angry")),
    ],
)
def test_the_real_corpora_are_read_whole(
    shared: Path, kind: str, recordings: int, speakers: int, labels: Sequence[str]
) -> None:
    folder = shared / "data" / kind
    utterances = read_data([f"{kind}:{folder}"])
    assert len(utterances) == recordings
    assert len({each.speaker for each in utterances}) == speakers
    assert in_order(each.label for each in utterances) == tuple(labels)
    if kind != "ravdess":  # their folders are labels, and say the same
        by_folder = {each.path: each.label for each in read_data([f"folder:{folder}"])}
        assert by_folder == {each.path: each.label for each in utterances}

"""The corpora: what file names state, and the overview of recordings."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile
from labelled import NAMES, OTHER_NAMES, record

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from train.data.copies import drop_copies
from train.data.corpora import CORPORA, ORDINARY, known_corpus, read_data
from train.data.dataset import about_corpora, corpus_names
from train.data.labels import SHARED, in_order
from train.data.overview import overview


@pytest.mark.parametrize("kind", CORPORA)
def test_names_of_a_corpus_tell_label_speaker_sex_language_and_intensity(
    kind: str, trees: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trees / kind / "._hidden.wav").write_bytes(b"")
    (trees / kind / "__MACOSX" / "._1157_kz_acik.flac").parent.mkdir()
    (trees / kind / "__MACOSX" / "._1157_kz_acik.flac").write_bytes(b"")
    found = {
        each.path.relative_to(trees / kind).as_posix(): (
            each.label,
            each.speaker,
            each.sex,
            each.language,
            each.intensity,
        )
        for each in read_data([f"{kind}:{trees / kind}"])
    }
    assert found == NAMES[kind]
    assert not capsys.readouterr().err


@pytest.mark.parametrize("kind", CORPORA)
def test_other_names_are_left_out_and_reported(
    kind: str, trees: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in OTHER_NAMES[kind]:
        (trees / kind / name).parent.mkdir(exist_ok=True)
        (trees / kind / f"{name}.wav").write_bytes(b"")
    assert len(read_data([f"{kind}:{trees / kind}"])) == len(NAMES[kind])
    strange, all_of_them = len(OTHER_NAMES[kind]), len(OTHER_NAMES[kind]) + len(NAMES[kind])
    assert f"{strange} of {all_of_them} recordings are not named as in" in capsys.readouterr().err
    assert all(CORPORA[kind].parse(Path(f"x/{name}.wav")) is None for name in OTHER_NAMES[kind])


def test_the_sexes_of_crema_d_are_beside_or_above_its_recordings(trees: Path) -> None:
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


@pytest.mark.parametrize("above", [False, True])
def test_the_sexes_of_nemo_are_in_a_table_beside_or_above(above: bool, trees: Path) -> None:
    table = (trees if above else trees / "nemo") / "data.tsv"
    table.write_text(
        "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
        "EB0_anger_1.wav\tanger\tKupiłem.\tkupiłem\t        EB0\tfemale\t27\n"
        "WR0_happiness_7.wav\thappiness\tUcho.\tucho\t        WR0\tmale\t23\n"
    )
    found = {each.speaker: each.sex for each in read_data([f"nemo:{trees / 'nemo'}"])}
    assert found == {"nemo-eb0": "female", "nemo-mp0": "", "nemo-wr0": "male"}
    table.write_text("speaker,sex\n")
    with pytest.raises(UsageError, match="columns speaker_id and gender"):
        read_data([f"nemo:{trees / 'nemo'}"])


def test_every_recording_of_an_ordinary_folder_is_neutral(
    tmp_path: Path, speech: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("prompt.wav", "ANN/1.flac", "ANN/deep/2.wav", "bob/1.opus")):
        record(tmp_path / "calls" / name, speech, number)
    utterances = read_data([f"ordinary:{tmp_path / 'calls'}/"])
    assert {each.name: each.speaker for each in utterances} == {
        "ordinary calls:ANN/1.flac": "ordinary calls-ANN",
        "ordinary calls:ANN/deep/2.wav": "ordinary calls-ANN",
        "ordinary calls:bob/1.opus": "ordinary calls-bob",
        "ordinary calls:prompt.wav": "",
    }
    for each in utterances:
        assert each.is_ordinary
        assert each.corpus == "ordinary calls"
        assert (each.label, each.style, each.sex, each.language) == ("neutral", "ordinary", "", "")
    assert not capsys.readouterr().err
    assert not any(each.is_ordinary for each in read_data([f"folder:{_labels(tmp_path)}"]))


def _labels(folder: Path) -> Path:
    """A folder of the user's own with labels."""
    (folder / "own").mkdir()
    shutil.copytree(folder / "calls" / "ANN", folder / "own" / "neutral")
    return folder / "own"


def test_an_ordinary_folder_is_called_as_it_was_given(
    tmp_path: Path, speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current folder has its name; a link has its own, which parts folders of one name."""
    for place in ("one", "two"):
        record(tmp_path / place / "calls" / "a.wav", speech, 0)
    monkeypatch.chdir(tmp_path / "one" / "calls")
    assert [each.corpus for each in read_data(["ordinary:."])] == ["ordinary calls"]
    with pytest.raises(UsageError, match="another folder of ordinary speech has this name"):
        read_data(["ordinary:.", f"ordinary:{tmp_path / 'two' / 'calls'}"])
    (tmp_path / "others").symlink_to(tmp_path / "two" / "calls")
    both = read_data(["ordinary:.", f"ordinary:{tmp_path / 'others'}"])
    assert [each.name for each in both] == ["ordinary calls:a.wav", "ordinary others:a.wav"]


def test_what_is_known_of_corpora_and_of_ordinary_folders() -> None:
    for name, corpus in CORPORA.items():
        assert known_corpus(name) is corpus
    for folder, corpus in ORDINARY.items():
        assert known_corpus(f"ordinary {folder}") is corpus
        assert corpus.name == f"ordinary {folder}"
        assert known_corpus(folder) is None
    asterisk = ORDINARY["es_MX_f_Allison"]
    assert asterisk.licence == "CC BY-SA 3.0"
    assert asterisk.source == "Debian's asterisk-core-sounds-es"
    for name in ("ordinary calls", "ordinary ravdess", "folder:ravdess", "ordinary", ""):
        assert known_corpus(name) is None


def test_a_checkpoint_names_the_ordinary_speech_that_it_was_trained_on(
    tmp_path: Path, speech: Samples
) -> None:
    for number, name in enumerate(("speechocean/S1/a.wav", "calls/b.wav")):
        record(tmp_path / name, speech, number)
    utterances = read_data([f"ordinary:{tmp_path / name}" for name in ("speechocean", "calls")])
    assert corpus_names(utterances) == ["speechocean762", "ordinary calls"]
    licences = [each["licence"] for each in about_corpora(utterances)]
    assert licences == ["CC BY 4.0", "not stated: recordings of the user's own"]


def test_a_name_does_not_depend_on_where_the_data_lies(trees: Path) -> None:
    kinds = [f"{kind}:{trees / kind}" for kind in CORPORA]
    here = read_data(kinds)
    assert here[0].name == "ravdess:Actor_01/03-01-01-01-02-01-01.flac"
    assert len({each.name for each in here}) == len(here)
    shutil.copytree(trees, trees / "moved" / "here")
    there = read_data([f"{kind}:{trees / 'moved' / 'here' / kind}" for kind in CORPORA])
    assert [each.name for each in there] == [each.name for each in here]


def test_songs_are_distinguished_from_speech(trees: Path) -> None:
    utterances = read_data([f"ravdess:{trees / 'ravdess'}"])
    assert [each.style for each in utterances] == ["speech", "speech", "song"]
    assert "style: song 1, speech 2" in overview(utterances)


def test_the_overview_counts_corpora_against_labels(trees: Path) -> None:
    text = overview(read_data([f"{kind}:{trees / kind}" for kind in ("savee", "turev")]))
    assert "5 recordings, 0.00 h, 5 speakers; 0.50 to 0.50 s" in text
    assert "corpus: savee 3, turev 2" in text
    assert "sex: male 3, unknown 2" in text
    assert "language: en 3, tr 2" in text
    rows = [line.split() for line in text.splitlines()]
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
    ("data", "message"),
    [
        (["tapes:."], "emo-db ased turev nemo emospeech urdu ordinary folder manifest"),
        (["ravdess"], "expected KIND:PATH"),
        (["ravdess:nowhere"], "there is no folder nowhere"),
        (["folder:nowhere"], "there is no folder nowhere"),
        (["ordinary:nowhere"], "there is no folder nowhere"),
        (["ordinary:TREES/nothing"], "ordinary:.*nothing: found no recordings there"),
        (["savee:TREES/savee", "ordinary:TREES/savee"], "give it once"),
        (["manifest:nowhere.csv"], "there is no such manifest"),
        (["tess:TREES/savee"], "none of 3 recordings there is named as in TESS"),
        (["savee:TREES/savee", "savee:TREES/turev/../savee"], "the same data as --data savee:"),
        (["savee:TREES/savee", "folder:TREES/savee"], "give it once"),
    ],
)
def test_data_that_cannot_be_read(trees: Path, data: list[str], message: str) -> None:
    (trees / "nothing").mkdir()
    with pytest.raises(UsageError, match=message):
        read_data([each.replace("TREES", str(trees)) for each in data])


def given(shared: Path, kind: str) -> Path:
    """The folder of a corpus, of which a user may have some only."""
    if not (shared / "data" / kind).is_dir():
        pytest.skip(f"no {kind} at {shared / 'data'}")
    return shared / "data" / kind


@pytest.mark.parametrize(
    ("kind", "recordings", "speakers", "labels"),
    [
        ("ravdess", 1440, 24, SHARED[:8]),
        ("ased", 2474, 65, ("neutral", "happy", "sad", "angry", "fearful")),
        ("turev", 1735, 6, ("calm", "happy", "sad", "angry")),
        ("nemo", 4481, 9, ("neutral", "happy", "sad", "angry", "fearful", "surprised")),
        ("emospeech", 2000, 105, ("calm", "happy", "angry", "fearful")),
        ("urdu", 234, 14, ("neutral", "happy", "sad", "angry")),
    ],
)
def test_the_real_corpora_are_read_whole(
    shared: Path, kind: str, recordings: int, speakers: int, labels: Sequence[str]
) -> None:
    folder = given(shared, kind)
    utterances = read_data([f"{kind}:{folder}"])
    assert len(utterances) == recordings
    assert len({each.speaker for each in utterances}) == speakers
    assert in_order(each.label for each in utterances) == tuple(labels)
    assert all(each.speaker for each in utterances)
    if kind in ("ravdess", "ased", "nemo", "urdu"):
        assert {each.sex for each in utterances} == {"female", "male"}
    if kind in ("ased", "turev", "urdu"):  # their folders are labels, and say the same
        by_folder = {each.path: each.label for each in read_data([f"folder:{folder}"])}
        assert by_folder == {each.path: each.label for each in utterances}


@pytest.mark.parametrize(
    ("name", "recordings", "speakers"), [("speechocean", 1024, 128), ("orders", 310, 0)]
)
def test_the_real_ordinary_speech_is_read_whole(
    shared: Path, name: str, recordings: int, speakers: int
) -> None:
    utterances = read_data([f"ordinary:{given(shared, name)}"])
    assert len(utterances) == recordings
    assert len({each.speaker for each in utterances if each.speaker}) == speakers
    assert corpus_names(utterances) == [ORDINARY[name].title]

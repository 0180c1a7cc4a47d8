"""Splits that are read from files: those of earlier trainings, and EmoBox's published folds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from split_cases import BOTH, RAVDESS, WITH_ORDINARY, masks, of, ordinary, same, split

from batch_ser.errors import UsageError
from train.data.corpora import read_data
from train.recipes.presets import RECIPES
from train.splits.splits import default_split


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    """Folds as EmoBox writes them: by actors, and by names of recordings."""
    tested = [each.key for each in BOTH if each.corpus == "tess"][::5]
    content = {
        "ravdess": {"folds": [{"test_actors": [1, 2]}, {"test_actors": [3]}]},
        "tess": {"folds": [{"test": tested}]},
        "savee": {"folds": [{"test": ["DC_a01"]}]},
    }
    path = tmp_path / "folds.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("text", ["random", "speakers:3", "cross", "loso"])
def test_a_saved_split_is_the_same_split(text: str, tmp_path: Path) -> None:
    first = split(text, BOTH, 5)
    first.save(tmp_path / "split.json", BOTH)
    again = split(f"saved:{tmp_path / 'split.json'}", BOTH, 6)
    assert same(first, again)
    assert [(fold.name, fold.independent) for fold in again.folds] == [
        (fold.name, fold.independent) for fold in first.folds
    ]
    turned = split(f"saved:{tmp_path / 'split.json'}", BOTH[::-1], 6)  # it goes by names
    for fold, other in zip(first.folds, turned.folds, strict=True):
        assert np.array_equal(masks(fold), [side[::-1] for side in masks(other)])


@pytest.mark.parametrize("text", ["random", "speakers:3", "cross"])
def test_a_saved_split_has_ordinary_speech_in_train(text: str, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    first = split(text, WITH_ORDINARY, 5)
    first.save(path, WITH_ORDINARY)
    named = {each.name for each in WITH_ORDINARY if each.is_ordinary}
    for entry in json.loads(path.read_text())["folds"]:
        assert named <= set(entry["train"])
    assert same(first, split(f"saved:{path}", WITH_ORDINARY, 6))


def test_a_split_saved_without_ordinary_speech_fits_with_it(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    split("speakers:3", BOTH, 5).save(path, BOTH)
    assert same(split(f"saved:{path}", WITH_ORDINARY), split("speakers:3", WITH_ORDINARY, 5))


@pytest.mark.parametrize("side", ["valid", "test"])
def test_a_saved_split_that_tests_ordinary_speech_is_refused(side: str, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    split("random", WITH_ORDINARY).save(path, WITH_ORDINARY)
    content = json.loads(path.read_text())
    content["folds"][0][side].append(WITH_ORDINARY[0].name)
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="random has ordinary speech in valid or test"):
        split(f"saved:{path}", WITH_ORDINARY)


def test_saved_splits_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    with pytest.raises(UsageError, match=r"split\.json cannot be read"):
        split(f"saved:{path}", BOTH)
    split("cross:tess", BOTH).save(path, BOTH)
    with pytest.raises(UsageError, match=r"are not in the data, such as tess:.*give the --data"):
        split(f"saved:{path}", RAVDESS)
    with pytest.raises(UsageError, match="3 recordings have the name of another"):
        split(f"saved:{path}", BOTH + BOTH[:3])
    for content in ("{}", "[]", "no JSON", '{"folds": [{"name": "a"}]}'):
        path.write_text(content)
        with pytest.raises(UsageError, match=r"is no split\.json of a training"):
            split(f"saved:{path}", BOTH)


def test_a_saved_split_is_checked_like_any_other(tmp_path: Path) -> None:
    """One that was made with a leak, or edited by hand."""
    path = tmp_path / "split.json"
    split("random", RAVDESS).save(path, RAVDESS)
    content = json.loads(path.read_text())
    content["folds"][0]["independent"] = True
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="random has a speaker on both sides"):
        split(f"saved:{path}", RAVDESS)


def test_published_folds_by_actors_and_by_names(folds: Path) -> None:
    found = split(f"emobox:{folds}", RAVDESS).folds
    speakers = [each.speaker for each in RAVDESS]
    assert [fold.name for fold in found] == ["fold 1", "fold 2"]
    assert of(speakers, found[0].test) == {"ravdess-01", "ravdess-02"}
    assert of(speakers, found[1].test) == {"ravdess-03"}
    assert all(fold.independent for fold in found)
    assert same(split(f"emobox:{folds}:2", RAVDESS), split(f"emobox:{folds}:2", RAVDESS))
    assert [fold.name for fold in split(f"emobox:{folds}:2", RAVDESS).folds] == ["fold 2"]
    both = split(f"emobox:{folds}:1", BOTH).folds[0]  # each corpus has its own side
    assert of(speakers, both.test[: len(RAVDESS)]) == {"ravdess-01", "ravdess-02"}
    assert both.test[len(RAVDESS) :].tolist() == [
        n % 5 == 0 for n in range(len(BOTH) - len(RAVDESS))
    ]
    assert not both.independent
    names = [each.speaker for each in BOTH]  # what steers and calibrates is of new voices, too
    assert not of(names, both.valid) & of(names, both.train)


@pytest.mark.parametrize("rest", ["", ":1", ":2"])
def test_published_folds_hold_beside_ordinary_speech(folds: Path, rest: str) -> None:
    text = f"emobox:{folds}{rest}"
    for utterances in (RAVDESS, BOTH):
        alone, found = split(text, utterances), split(text, [*utterances, *ordinary(5)])
        assert found.names == alone.names
        for fold, other in zip(found.folds, alone.folds, strict=True):
            assert fold.independent == other.independent
            for side, expected, trains in zip(
                masks(fold), masks(other), (True, False, False), strict=True
            ):
                assert np.array_equal(side, [*expected, *[trains] * 5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("emobox:FOLDS:3", "fold 3, expected 1 to 2"),
        ("emobox:FOLDS:0", "fold 0, expected 1 to 2"),
        ("emobox:FOLDS.gone", "cannot be read"),
        ("emobox:FOLDS/..", "cannot be read"),
    ],
)
def test_published_folds_that_cannot_be_used(folds: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split(text.replace("FOLDS", str(folds)), RAVDESS)


def test_published_folds_of_other_recordings(folds: Path) -> None:
    late = [each for each in RAVDESS if each.speaker > "ravdess-03"]
    with pytest.raises(UsageError, match="fold 1 0 of 36 recordings are held out"):
        split(f"emobox:{folds}", late)
    folds.write_text('{"tess": {"folds": []}}')
    with pytest.raises(UsageError, match="holds no folds of ravdess"):
        split(f"emobox:{folds}", RAVDESS)


@pytest.mark.parametrize(
    ("kind", "folds", "tested", "independent"),
    [("ravdess", 6, 1440, True), ("ased", 1, 616, False), ("turev", 1, 432, False)],
)
def test_emobox_s_own_folds(
    shared: Path, kind: str, folds: int, tested: int, independent: bool
) -> None:
    utterances = read_data([f"{kind}:{shared / 'data' / kind}"])
    text = f"emobox:{shared / 'benchmarks' / 'emobox_folds.json'}"
    found = split(text, utterances).folds
    assert len(found) == folds
    assert sum(fold.test.astype(int) for fold in found).max() == 1
    assert sum(fold.test.sum() for fold in found) == tested
    speakers = [each.speaker for each in utterances]
    for fold in found:
        seen, tested = of(speakers, fold.train | fold.valid), of(speakers, fold.test)
        assert fold.independent == independent
        assert not seen & tested if independent else tested <= seen
    last = split(f"{text}:{folds}", utterances).folds
    assert np.array_equal(masks(last[0]), masks(found[-1]))


def test_the_default_split_keeps_speakers_apart_where_it_can() -> None:
    assert default_split(RAVDESS) == "speakers:80/10/10"
    assert default_split(RAVDESS[:48]) == "random:80/10/10"  # four speakers
    assert default_split([*RAVDESS, *ordinary(9)]) == "speakers:80/10/10"
    assert default_split([*RAVDESS[:60], *ordinary(9)[1:2]]) == "random:80/10/10"
    unknown = [replace(each, speaker="") for each in RAVDESS]
    assert default_split(unknown) == "random:80/10/10"


def test_where_a_fit_takes_seconds_every_recording_is_tested_by_default() -> None:
    """By speakers, or by files, if each fold has one of each label."""
    assert default_split([*RAVDESS, *ordinary(9)], folds=True) == "speakers:5"
    unknown = [replace(each, speaker="") for each in RAVDESS]
    assert default_split([*unknown, *ordinary(9)], folds=True) == "kfold:5"
    assert len(split("kfold:5", unknown).folds) == 5
    few = [each for each in unknown if each.label != "sad" or "-01" in each.key]  # four of them
    assert default_split(few, folds=True) == "random:80/10/10"
    calls = [replace(each, path=Path(f"{row % 4}.wav")) for row, each in enumerate(unknown)]
    assert default_split(calls, folds=True) == "random:80/10/10"
    quick = {name for name, recipe in RECIPES.items() if recipe.is_quick}
    assert {"accurate", "fast", "head", "whisper-frozen"} <= quick
    assert not quick & {"student", "whisper-mlp", "vgg"}

"""Splits: disjoint sides, no speaker and no copy on two of them, the same seed the same sides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from split_cases import (
    BOTH,
    LABELS,
    ORDINARY_ROWS,
    RAVDESS,
    WITH_ORDINARY,
    corpus,
    masks,
    of,
    ordinary,
    said,
    same,
    split,
)

from batch_ser.errors import UsageError
from train.data.utterances import Utterance
from train.splits.splits import everything

SEEDED = (
    "random",
    "random:60/20/20",
    "speakers",
    "speakers:50/25/25",
    "speakers:3",
    "kfold:4",
    "loso",
    "cross",
    "cross:tess",
)


@given(st.sampled_from(SEEDED), st.integers(0, 2**31))
def test_sides_are_disjoint_and_keep_what_they_promise(text: str, seed: int) -> None:
    found = split(text, BOTH, seed)
    speakers, labels = [each.speaker for each in BOTH], [each.label for each in BOTH]
    for fold in found.folds:
        train, valid, test = masks(fold)
        assert (train.astype(int) + valid + test).max() == 1
        assert all(side.any() for side in masks(fold))
        if not text.startswith("cross"):
            assert (train | valid | test).all()
        assert fold.independent == text.startswith(("speakers", "loso", "cross"))
        if fold.independent:
            assert not of(speakers, train | valid) & of(speakers, test)
            assert not of(speakers, train) & of(speakers, valid)
        if text.startswith(("random", "kfold")):
            assert all(of(labels, side) == set(labels) for side in masks(fold))
        assert fold.labels(BOTH) == tuple(
            label for label in (*LABELS, "bored") if label in of(labels, train)
        )


@given(st.sampled_from(SEEDED), st.integers(0, 2**31))
def test_ordinary_speech_only_trains_and_changes_no_split(text: str, seed: int) -> None:
    """Of the other recordings the folds are those that they have alone."""
    found, alone = split(text, WITH_ORDINARY, seed), split(text, BOTH, seed)
    assert found.names == alone.names
    for fold, other in zip(found.folds, alone.folds, strict=True):
        assert fold.train[ORDINARY_ROWS].all()
        assert not (fold.valid | fold.test)[ORDINARY_ROWS].any()
        assert fold.independent == other.independent
        for side, expected in zip(masks(fold), masks(other), strict=True):
            assert np.array_equal(side[~ORDINARY_ROWS], expected)
    always = found.never_tested()
    assert always is not None
    assert always[ORDINARY_ROWS].all()


def test_ordinary_speech_is_never_held_out_by_cross() -> None:
    assert split("cross", WITH_ORDINARY).names == ["ravdess", "tess"]
    for text in ("cross:ordinary calls", "cross:ordinary"):
        with pytest.raises(UsageError, match="found the corpora ravdess, tess; expected two"):
            split(text, WITH_ORDINARY)
    with pytest.raises(UsageError, match="found the corpora ravdess; expected two or more"):
        split("cross", [*RAVDESS, *ordinary(4)])


def test_a_checkpoint_on_everything_trains_on_ordinary_speech() -> None:
    fold = everything(WITH_ORDINARY, [each.name for each in WITH_ORDINARY], 0, 0.2)
    alone = everything(BOTH, [each.name for each in BOTH], 0, 0.2)
    assert fold.independent == alone.independent
    assert fold.train[ORDINARY_ROWS].all()
    for side, expected in zip(masks(fold), masks(alone), strict=True):
        assert np.array_equal(side[~ORDINARY_ROWS], expected)
    assert fold.valid.any()
    assert not fold.valid[ORDINARY_ROWS].any()


def test_given_sides_hold_beside_ordinary_speech() -> None:
    sides = ["train", "train", "valid", "test"] * (len(RAVDESS) // 4)
    utterances = [replace(each, side=side) for each, side in zip(RAVDESS, sides, strict=True)]
    fold = split("given", [*ordinary(3), *utterances]).folds[0]
    for side, mask in zip(("train", "valid", "test"), masks(fold), strict=True):
        assert mask.tolist() == [side == "train"] * 3 + [each == side for each in sides]


@pytest.mark.parametrize("text", ["random", "cross", "none"])
def test_ordinary_speech_alone_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="all 4 recordings are ordinary speech"):
        split(text, ordinary(4))
    with pytest.raises(UsageError, match="all 4 recordings are ordinary speech"):
        everything(ordinary(4), [str(number) for number in range(4)], 0, 0.2)


def test_ordinary_speech_does_not_count_among_the_labels_of_a_split() -> None:
    """Only happy is left to train on, whatever ordinary speech is beside."""
    utterances = [each for each in RAVDESS if each.label == "happy"]
    with pytest.raises(UsageError, match="trains on are labelled happy; expected two"):
        split("speakers", [*utterances, *ordinary(4)])


def test_an_ordinary_copy_of_a_tested_recording_is_refused() -> None:
    utterances = [*RAVDESS, *ordinary(4)]
    contents = [each.name for each in utterances]
    contents[-1] = contents[int(np.flatnonzero(split("loso", utterances).folds[0].test)[0])]
    with pytest.raises(UsageError, match="a copy of a recording on both sides"):
        split("loso", utterances, contents=contents)
    assert split("loso", utterances, contents=contents, allow_leak=True).folds[0].train[-1]


@pytest.mark.parametrize("text", SEEDED)
def test_a_seed_is_a_split(text: str) -> None:
    assert same(split(text, BOTH, 3), split(text, BOTH, 3))
    assert not same(split(text, BOTH, 3), split(text, BOTH, 4))


@pytest.mark.parametrize(("text", "folds"), [("speakers:3", 3), ("kfold:4", 4), ("loso", 10)])
def test_folds_test_every_recording_once(text: str, folds: int) -> None:
    found = split(text, BOTH).folds
    assert len(found) == folds
    assert len({fold.name for fold in found}) == folds
    assert (sum(fold.test.astype(int) for fold in found) == 1).all()


def test_shares_are_those_that_were_asked_for() -> None:
    utterances = [said("x", label, take) for label in LABELS[:2] for take in range(100)]
    fold = split("random:70/10/20", utterances).folds[0]
    assert [side[:100].sum() for side in masks(fold)] == [70, 10, 20]
    assert [side[100:].sum() for side in masks(fold)] == [70, 10, 20]
    speakers = corpus(20, LABELS, "ravdess")
    fold = split("speakers:80/10/10", speakers).folds[0]
    assert [len(of([each.speaker for each in speakers], side)) for side in masks(fold)] == [
        16,
        2,
        2,
    ]


@given(st.integers(0, 1000), st.sampled_from(["random", "kfold:3"]))
def test_copies_are_on_one_side_unless_a_leak_is_allowed(seed: int, text: str) -> None:
    """Every recording twice, as in the doubled download."""
    doubled = RAVDESS + [replace(each, path=Path("again") / each.path) for each in RAVDESS]
    doubled = [replace(each, root=Path()) for each in doubled]
    contents = [each.path.name for each in doubled]
    for fold in split(text, doubled, seed, contents).folds:
        for side in masks(fold):
            assert np.array_equal(side[: len(RAVDESS)], side[len(RAVDESS) :])
    leaky = split(text, doubled, seed, contents, allow_leak=True).folds[0]
    assert of(contents, leaky.train) & of(contents, leaky.test)


def test_a_cross_split_keeps_shared_labels_only() -> None:
    found = split("cross", BOTH).folds
    assert [fold.name for fold in found] == ["ravdess", "tess"]
    labels, corpora = [each.label for each in BOTH], [each.corpus for each in BOTH]
    for fold in found:
        assert of(corpora, fold.test) == {fold.name}
        assert fold.name not in of(corpora, fold.train | fold.valid)
        for side in masks(fold):
            assert of(labels, side) == {"happy", "sad"}
    assert [fold.name for fold in split("cross:tess", BOTH).folds] == ["tess"]


def test_corpora_are_apart_whoever_spoke() -> None:
    unknown = [replace(each, speaker="") for each in BOTH]
    for fold in split("cross", unknown).folds:
        assert fold.independent
        assert len(of([each.corpus for each in BOTH], fold.train | fold.valid)) == 1


@given(st.integers(0, 1000), st.sampled_from(["random", "kfold:3"]))
def test_segments_of_one_file_are_on_one_side(seed: int, text: str) -> None:
    """They may overlap; and a copy of the file binds its own segments to them."""
    cut = [
        replace(each, start_s=start, end_s=start + 0.5, path=Path(f"{copy}{each.path}"))
        for copy in ("", "copy-")
        for each in RAVDESS
        for start in (0.0, 0.1)
    ]
    contents = [f"{each.path.name.removeprefix('copy-')} {each.start_s}" for each in cut]
    files = [each.path.name.removeprefix("copy-") for each in cut]
    for fold in split(text, cut, seed, contents).folds:
        sides = [of(files, side) for side in masks(fold)]
        assert sum(map(len, sides)) == len(RAVDESS)


def test_given_sides_are_taken_as_they_are() -> None:
    sides = ["train", "train", "valid", "test"] * (len(RAVDESS) // 4)
    utterances = [replace(each, side=side) for each, side in zip(RAVDESS, sides, strict=True)]
    fold = split("given", utterances).folds[0]
    for side, mask in zip(("train", "valid", "test"), masks(fold), strict=True):
        assert mask.tolist() == [each == side for each in sides]
    assert not fold.independent  # every speaker is on every side
    without = [replace(each, side=each.side.replace("valid", "train")) for each in utterances]
    fold = split("given", without).folds[0]
    assert np.array_equal(fold.test, [each == "test" for each in sides])
    assert 0 < fold.valid.sum() < fold.train.sum()


def test_given_sides_without_a_common_speaker_are_independent() -> None:
    def side_of(each: Utterance) -> str:
        return "test" if each.speaker == "ravdess-06" else "train"

    utterances = [replace(each, side=side_of(each)) for each in RAVDESS]
    assert split("given", utterances).folds[0].independent
    unknown = [replace(each, speaker="") for each in utterances]
    assert not split("given", unknown).folds[0].independent


def test_no_folds_and_a_checkpoint_on_everything() -> None:
    assert split("none", RAVDESS).folds == ()
    contents = [each.name for each in RAVDESS]
    fold = everything(RAVDESS, contents, 0, 0.2)
    assert not fold.test.any()
    assert (fold.train | fold.valid).all()
    speakers = [each.speaker for each in RAVDESS]
    assert not of(speakers, fold.train) & of(speakers, fold.valid)


ALONE = [replace(each, side="train", speaker="") for each in RAVDESS]


@pytest.mark.parametrize(
    ("text", "utterances", "message"),
    [
        ("sorted", RAVDESS, "expected random:80/10/10"),
        ("random:80/20", RAVDESS, "expected shares of train, valid and test"),
        ("random:80/20/0", RAVDESS, "expected shares of train, valid and test"),
        ("speakers:some", RAVDESS, "expected shares of train, valid and test"),
        ("random", RAVDESS[:13], "cannot be divided so that each"),
        ("random", ALONE[:0], "cannot be divided"),
        ("speakers", RAVDESS[:24], "found 2 speakers, expected 3"),
        ("speakers:7", RAVDESS, "expected a number of folds from 2 to 6"),
        ("speakers:1", RAVDESS, "expected a number of folds from 2 to 6"),
        ("kfold", RAVDESS, "expected a number of folds from 2 to 72"),
        ("kfold:30", RAVDESS, "label happy has 24 recordings, fewer than folds"),
        ("loso", RAVDESS[:24], "one speaker is left to train on"),
        ("loso:2", RAVDESS, "expected loso alone"),
        ("none:2", RAVDESS, "expected none alone"),
        ("given:2", RAVDESS, "expected given alone"),
        ("speakers", ALONE, "the speaker of 72 recordings is not known .* column speaker"),
        ("loso", ALONE, "the speaker of 72 recordings is not known"),
        ("cross", RAVDESS, "found the corpora ravdess; expected two or more"),
        ("cross:savee", BOTH, "found the corpora ravdess, tess"),
        ("cross", [u for u in BOTH if u.label != "sad"], "share 1 labels"),
        ("given", RAVDESS, "expected a manifest with a column split"),
        ("given", ALONE, "expected a manifest with a column split"),
        (
            "given",
            [
                replace(u, side="test" if u.label == "sad" else "train")
                for u in RAVDESS
                if u.label != "happy"
            ],
            "are labelled neutral; expected two",
        ),
        (
            "given",
            [
                replace(
                    u,
                    side="valid"
                    if u.label == "sad"
                    else "train"
                    if u.speaker[-1] < "5"
                    else "test",
                )
                for u in RAVDESS
            ],
            "has recordings labelled sad",
        ),
        ("loso", [*RAVDESS, *corpus(1, ("bored",), "tess")], "tested on bored, which no recording"),
    ],
)
def test_splits_that_do_not_fit(text: str, utterances: list[Utterance], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        split(text, utterances)


def test_a_given_copy_on_both_sides_is_refused() -> None:
    sides = ["train", "train", "valid", "test"] * (len(RAVDESS) // 4)
    utterances = [replace(each, side=side) for each, side in zip(RAVDESS, sides, strict=True)]
    contents = [str(number) for number in range(len(RAVDESS))]
    contents[3] = contents[4]  # one is tested, the other trained on
    with pytest.raises(UsageError, match=r"a copy of a recording on both sides \(ravdess:"):
        split("given", utterances, contents=contents)
    assert split("given", utterances, contents=contents, allow_leak=True).folds[0].test[3]

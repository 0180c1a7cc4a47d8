"""The shared table of labels, and what `--labels` chooses."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.errors import UsageError
from train.data.dataset import labelled
from train.data.labels import ALIASES, SHARED, in_order, parse_labels, preset_of, shared_name

Told = pytest.CaptureFixture[str]


def test_spellings_of_the_corpora_and_of_published_networks() -> None:
    spellings = {
        "angry": "ANG anger Angry 05Angry",
        "happy": "joy happiness HAP Happy 03_happy",
        "surprised": "ps surprise pleasant_surprise Pleasant-Surprised SUR",
        "fearful": "Fear fea",
        "disgust": "disgusted DIS",
        "calm": "calmness",
        "bored": "boredom",
        "sad": "SAD sadness",
        "neutral": "neu NEUTRAL",
    }
    for label, names in spellings.items():
        assert {shared_name(name) for name in names.split()} == {label}
    assert shared_name("pleasant surprise") == "surprised"
    assert [shared_name(name) for name in ("", "frustrated", "LABEL_0", "7")] == [None] * 4


@given(st.sampled_from(sorted(ALIASES)), st.text(" _-.", max_size=3), st.booleans())
def test_case_and_punctuation_do_not_matter(alias: str, padding: str, upper: bool) -> None:
    assert shared_name(padding + (alias.upper() if upper else alias) + padding) == ALIASES[alias]


@given(st.text())
def test_a_shared_name_is_its_own_shared_name(name: str) -> None:
    found = shared_name(name)
    assert found is None or (found in SHARED and shared_name(found) == found)


@given(st.lists(st.sampled_from([*SHARED, "annoyed", "zealous"])))
def test_the_order_of_labels_is_the_tables_then_the_alphabet(labels: list[str]) -> None:
    found = in_order(labels)
    assert set(found) == set(labels)
    assert found == tuple(label for label in (*SHARED, "annoyed", "zealous") if label in labels)


@given(st.permutations(SHARED), st.lists(st.integers(1, 8), min_size=1, max_size=3, unique=True))
def test_merged_labels_go_where_they_are_put(labels: list[str], cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(labels)]
    groups = [labels[a:b] for a, b in pairwise(bounds)]
    text = ",".join(f"group{i}={'+'.join(group)}" for i, group in enumerate(groups))
    choice = parse_labels(text)
    assert choice
    assert choice.names == tuple(f"group{i}" for i in range(len(groups)))
    assert choice.mapping == {label: f"group{i}" for i, g in enumerate(groups) for label in g}


def test_choices_of_labels() -> None:
    assert parse_labels(None) is None
    picked = parse_labels("angry, neutral,joy")
    assert picked
    assert picked.names == ("neutral", "happy", "angry")
    assert picked.mapping == {"angry": "angry", "neutral": "neutral", "happy": "happy"}
    mixed = parse_labels("neutral,upset=anger+Frustrated")
    assert mixed
    assert mixed.mapping == {"neutral": "neutral", "angry": "upset", "Frustrated": "upset"}
    assert (mixed.names, mixed.own_labels) == (("neutral", "upset"), ("Frustrated",))
    three, six = parse_labels("three"), parse_labels("six")
    assert three
    assert six
    assert set(three.names) == {"negative", "neutral", "positive"}
    assert not {"surprised", "bored"} & set(three.mapping)
    assert six.names == ("neutral", "happy", "sad", "angry", "fearful", "disgust")
    assert six.mapping["calm"] == "neutral"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty name"),
        ("happy,,sad", "an empty name"),
        ("low=sad+,happy", "an empty name"),
        ("=sad,happy", "an empty name"),
        ("happy", "only the label happy"),
        ("happy,joy", "the label happy is there twice"),
        ("happy,low=sad,low=angry", "the label low is there twice"),
        ("low=sad+bored,dull=boredom", "bored is put into low and dull"),
        ("low=sad+sadness,happy", "sad is put into low"),
        ("own+happy,sad", "'own.happy'"),
        ("low=sad=bored,happy", "'low=sad=bored'"),
    ],
)
def test_choices_that_contradict_themselves(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_labels(text)


def test_chosen_labels_that_no_recording_has(folder: Path, capsys: Told) -> None:
    """Each source of a list of the user's; of a preset, a target that nothing becomes."""
    rows = [("a.wav", "happy"), ("sub/b.wav", "sad"), ("c.wav", "neutral")]
    path = folder / "own.csv"
    path.write_text("\n".join(["file,label", *map(",".join, rows)]))
    for labels, message in (
        ("happy,sad,grumpy", "--labels happy,sad,grumpy: no recording is labelled grumpy"),
        ("happy,low=sad+grumpy", "no recording is labelled grumpy"),
        ("six", "no recording is labelled angry, fearful, disgust"),
    ):
        assert len(labelled([f"manifest:{path}"], labels)) == (3 if labels == "six" else 2)
        assert f"{message}\n" in capsys.readouterr().err
    for labels in ("happy,sad,neutral", "three"):
        assert len(labelled([f"manifest:{path}"], labels)) == 3
        assert not capsys.readouterr().err
    with pytest.raises(UsageError, match=r"labels happy; .*no recording is labelled grumpy"):
        labelled([f"manifest:{path}"], "happy,grumpy")
    with pytest.raises(UsageError, match=r"labels none; .*no recording is labelled dull, grumpy"):
        labelled([f"manifest:{path}"], "dull,grumpy")


def test_labels_of_a_preset_are_known_again() -> None:
    assert preset_of(["positive", "neutral", "negative"]) == "three"
    assert preset_of(["neutral", "happy"]) is None

"""Babble: which voices it may be made of, how loud it is, and that none of them is held out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.audio.samples import Samples
from models.gap_cnn import GAPNet
from train.augmentation.babble_noise import babble, babblers, with_noise
from train.augmentation.settings import Augmentation
from train.data.copies import content_of
from train.data.utterances import Utterance
from train.features.store import Store
from train.recipes.presets import RECIPES
from train.splits.sides import Fold
from train.splits.splits import Split

RATE_HZ = 16_000
RECIPE = replace(
    RECIPES["gap-cnn"],
    views=2,
    augmentation=Augmentation(probability=1.0, babble_snr_db=(0.0, 0.0)),
)


def utterance(path: Path, corpus: str) -> Utterance:
    return Utterance(path, "sad", "", "", "en", corpus=corpus)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=20))
def test_babble_has_no_tested_recording_and_none_of_the_same_corpus(
    each: list[tuple[str, bool]],
) -> None:
    untested = np.array([never for _, never in each])
    utterances = [utterance(Path("x.wav"), corpus) for corpus, _ in each]
    for corpus, rows in babblers(utterances, untested).items():
        for row in rows:
            assert untested[row]
            assert utterances[row].corpus != corpus
        allowed = sum(never and other != corpus for other, never in each)
        assert len(rows) == allowed


@given(st.lists(st.integers(1, 50), min_size=1, max_size=4), st.integers(1, 80))
def test_voices_are_equally_loud_and_of_the_given_length(lengths: list[int], length: int) -> None:
    draw = np.random.default_rng(0)
    voices = [draw.standard_normal(4_000, np.float32) * scale for scale in (0.01, 1, 50)]
    alone = [babble([voice], 4_000, np.random.default_rng(1)) for voice in voices]
    for found in alone:
        assert np.sqrt(np.mean(found**2)) == pytest.approx(1.0, rel=0.05)
    assert len(babble([np.ones(each, np.float32) for each in lengths], length, draw)) == length
    assert not babble([np.zeros(0, np.float32)], length, draw).any()  # an empty recording


def test_recordings_that_no_fold_tests() -> None:
    def fold(train: list[int], valid: list[int]) -> Fold:
        sides = (np.array(side, bool) for side in (train, valid, [0] * 4))
        return Fold("f", *sides, independent=True)

    folds = (fold([1, 1, 0, 0], [0, 0, 1, 0]), fold([1, 0, 1, 0], [0, 0, 0, 1]))
    found = Split("s", 0, folds).never_tested()
    assert found is not None
    assert found.tolist() == [True, False, True, False]
    assert Split("none", 0, ()).never_tested() is None


@pytest.fixture
def recordings(tmp_path: Path, speech: Samples) -> list[Utterance]:
    """Two of corpus a, two of corpus b, of different sounds."""
    found = []
    for number, corpus in enumerate("aabb"):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, speech[60_000 + 20_000 * number :][:20_000], RATE_HZ)
        found.append(utterance(path, corpus))
    return found


def view(utterances: list[Utterance], folder: Path, untested: list[bool] | None) -> torch.Tensor:
    contents = [content_of(each) for each in utterances]
    network = GAPNet(2, channels=(4,))
    mask = None if untested is None else np.array(untested)
    store = Store(network, RECIPE, utterances, contents, folder, None, mask)
    return torch.cat([store.view(1).piece(row) for row in range(len(utterances))])


def test_held_out_recordings_change_no_view(recordings: list[Utterance], tmp_path: Path) -> None:
    """Another recording in the place of one that is held out: all other views stay."""
    untested = [True, False, True, True]
    before = view(recordings, tmp_path / "one", untested)
    changed = [*recordings[:1], replace(recordings[1], path=recordings[3].path), *recordings[2:]]
    after = view(changed, tmp_path / "two", untested)
    bands = len(before) // 4
    for row in (0, 2, 3):
        assert torch.equal(before[bands * row :][:bands], after[bands * row :][:bands])
    own = view(recordings, tmp_path / "three", None)
    assert not torch.equal(before, own)  # and voices are not the recording itself


def test_without_other_voices_the_recording_itself_is_the_babble(
    recordings: list[Utterance], tmp_path: Path
) -> None:
    own = view(recordings, tmp_path / "one", None)
    assert torch.equal(own, view(recordings, tmp_path / "two", [False] * 4))
    alone = view(recordings[:2], tmp_path / "three", [True, True])  # of one corpus
    assert torch.equal(alone, own[: len(alone)])


def test_what_a_decoder_leaves_of_silence_stays_silent() -> None:
    """Opus gives numbers of 1e-34, whose power is zero: noise at a ratio to it would be none."""
    silence = np.full(1_000, 2e-34, np.float32)
    noise = np.random.default_rng(0).standard_normal(1_000, dtype=np.float32)
    assert np.array_equal(with_noise(silence, noise, 10.0), silence)
    assert np.isfinite(with_noise(noise, silence, 10.0)).all()

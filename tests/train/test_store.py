"""Features of recordings: views to train on, pieces to validate by, both cached on disk."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import SMALL
from trainings import optimised

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples
from batch_ser.features import Features, front_end
from models.device import has_bfloat16
from models.gap_cnn import GAPNet
from models.network import Network
from models.whisper import WhisperClassifier
from train.augmentation.settings import Augmentation
from train.data.copies import content_of
from train.data.utterances import Utterance
from train.features.cached import CachedFeatures
from train.features.store import Store, _cropped
from train.recipes.presets import RECIPES
from train.recipes.recipe import Recipe

LENGTHS_S = (0.4, 1.0, 3.0, 7.0)  # the network takes 3 s at once
NOISY = Augmentation(probability=1.0, noise_snr_db=(5.0, 9.0))
PLAIN = replace(RECIPES["gap-cnn"], augmentation=Augmentation(), views=2)


@pytest.fixture(scope="module")
def utterances(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> list[Utterance]:
    root = tmp_path_factory.mktemp("recordings")
    found = []
    for number, length_s in enumerate(LENGTHS_S):
        path = root / f"{number}.wav"
        start = 64_000 + 30_000 * number
        soundfile.write(path, speech[start : start + round(length_s * 16_000)], 16_000)
        found.append(Utterance(path, "sad", "", "", "en"))
    return found


def network(**settings: Any) -> Network:
    torch.manual_seed(0)
    return GAPNet(2, channels=(4,), **settings)


def store(
    utterances: list[Utterance], folder: Path, recipe: Recipe = PLAIN, of: Network | None = None
) -> Store:
    contents = [content_of(each) for each in utterances]
    return Store(of or network(), recipe, utterances, contents, folder)


def features_of(utterance: Utterance, seconds: slice = slice(None)) -> torch.Tensor:
    """The front end's features of a part of a recording."""
    rate_hz = GAPNet.rate_hz
    start, stop = (None if at is None else at * rate_hz for at in (seconds.start, seconds.stop))
    front = front_end(GAPNet.front_end, GAPNet.front_end_settings)
    return front([load(str(utterance.path), rate_hz)[start:stop]], torch.device("cpu")).values[0]


def same(one: CachedFeatures, other: CachedFeatures) -> bool:
    return np.array_equal(one.frames, other.frames) and np.array_equal(one.ends, other.ends)


def test_the_first_view_is_the_recording_as_it_is(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    view = store(utterances, tmp_path, replace(PLAIN, augmentation=NOISY, crop="start")).view(0)
    assert view.recordings.tolist() == [0, 1, 2, 3]
    for number, utterance in enumerate(utterances):
        assert torch.equal(view.piece(number), features_of(utterance, slice(0, 3)))


def test_other_views_are_augmented_and_repeat(utterances: list[Utterance], tmp_path: Path) -> None:
    """They do not depend on the folder, the order of recordings or what else is there."""
    recipe = replace(PLAIN, augmentation=NOISY)
    features = store(utterances, tmp_path / "a", recipe)
    views = [features.view(number) for number in range(3)]
    assert not any(same(views[a], views[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    again = store(utterances[::-1], tmp_path / "b", recipe).view(2)
    for number in range(len(utterances)):
        assert torch.equal(views[2].piece(number), again.piece(len(utterances) - 1 - number))


def test_pieces_cover_a_recording_as_a_job_scores_it(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    pieces = store(utterances, tmp_path, replace(PLAIN, augmentation=NOISY)).pieces()
    assert pieces.recordings.tolist() == [0, 1, 2, 3, 3, 3]
    assert pieces.weights[-3:].tolist() == [3 * 22_050, 3 * 22_050, 22_050]  # new samples
    assert torch.equal(pieces.piece(4), features_of(utterances[3], slice(3, 6)))
    assert torch.equal(pieces.piece(5), features_of(utterances[3], slice(4, 7)))  # the last 3 s
    assert np.allclose(pieces.durations_s, [0.4, 1.0, 3.0, 3.0, 3.0, 3.0], atol=1e-3)


def test_durations_are_those_of_the_view(utterances: list[Utterance], tmp_path: Path) -> None:
    """Of changed samples, not of the recording: a part of it, or one that is played slower."""
    cut = Augmentation(probability=1.0, cut_s=0.3)
    own = store(utterances, tmp_path, replace(PLAIN, augmentation=cut))
    assert np.allclose(own.view(0).durations_s, [0.4, 1.0, 3.0, 3.0], atol=1e-3)
    changed = own.view(1).durations_s
    assert (changed < [0.41, 1.01, 3.01, 3.01]).all()
    assert (changed >= 0.29).all()
    assert changed[1] < 0.99


def test_crops_and_pads_stay_within_the_recording() -> None:
    ramp = np.arange(1, 101, dtype=np.float32)
    draw = np.random.default_rng(0)
    assert _cropped(ramp, 10, "start", draw, pad=False).tolist() == list(range(1, 11))
    assert _cropped(ramp, 10, "centre", draw, pad=False).tolist() == list(range(46, 56))
    starts = {float(_cropped(ramp, 97, "random", draw, pad=False)[0]) for _ in range(60)}
    assert starts == {1.0, 2.0, 3.0, 4.0}
    assert _cropped(ramp, 100, "random", draw, pad=True) is ramp
    assert _cropped(ramp, 500, "random", draw, pad=False) is ramp
    padded = [_cropped(ramp, 102, "random", draw, pad=True) for _ in range(40)]
    assert {int(each.argmax()) for each in padded} == {99, 100, 101}
    assert all(np.array_equal(each[each > 0], ramp) and len(each) == 102 for each in padded)


def test_cached_features_are_used_again(
    utterances: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(PLAIN, augmentation=NOISY)
    first = [store(utterances, tmp_path, recipe).view(1), store(utterances, tmp_path).pieces()]
    monkeypatch.setattr("train.features.store.load_utterance", None)  # decoding fails now
    features_only = replace(
        optimised(recipe, epochs=99), augmentation=replace(NOISY, mixup=0.3, time_masks=2)
    )
    assert same(store(utterances, tmp_path, features_only).view(1), first[0])
    assert same(store(utterances, tmp_path, features_only).pieces(), first[1])


CHANGES: Mapping[str, dict[str, Any]] = {
    "augmentation": {"augmentation": replace(NOISY, noise_snr_db=(15.0, 25.0))},
    "another switch": {"augmentation": replace(NOISY, speed=0.1)},
    "crop": {"crop": "centre"},
    "length": {"crop_s": 1.5},
    "front end": {"front_end": {"bands": 64}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_setting_has_features_of_its_own(
    change: str, utterances: list[Utterance], tmp_path: Path
) -> None:
    recipe = replace(PLAIN, augmentation=NOISY)
    first = store(utterances, tmp_path, recipe).view(1)
    changed = replace(recipe, **CHANGES[change])
    found = store(utterances, tmp_path, changed).view(1)
    assert same(found, store(utterances, tmp_path / "fresh", changed).view(1))
    assert not same(found, first)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_other_recordings_have_features_of_their_own(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    first, second = utterances[:2], utterances[1:3]
    views = [store(each, tmp_path).view(0) for each in (first, second)]
    assert torch.equal(views[0].piece(1), views[1].piece(0))
    assert not torch.equal(views[0].piece(0), views[1].piece(0))


@pytest.mark.parametrize(
    "other", [{"taps": (0, 1)}, {"frozen_layers": 1}, {"heads": 4}, {"taps": (2,)}]
)
def test_a_frozen_part_is_cached_by_its_settings_and_weights(
    other: dict[str, Any], utterances: list[Utterance], tmp_path: Path
) -> None:
    """Frozen blocks are computed once; their features depend on which are tapped."""

    def encoder(**settings: Any) -> Network:
        torch.manual_seed(7)
        return WhisperClassifier(2, **(SMALL | settings))

    recipe = replace(RECIPES["whisper"], augmentation=Augmentation())
    first = store(utterances, tmp_path, recipe, encoder()).view(0)
    found = store(utterances, tmp_path, recipe, encoder(**other)).view(0)
    fresh = store(utterances, tmp_path / "fresh", recipe, encoder(**other)).view(0)
    assert same(found, fresh)
    moved = encoder()
    with torch.no_grad():
        next(iter(moved.parameters())).add_(0.1)
    assert not same(store(utterances, tmp_path, recipe, moved).view(0), first)


def test_frozen_blocks_need_no_second_pass(utterances: list[Utterance], tmp_path: Path) -> None:
    """From cached features the part that learns computes the logits of the whole network."""
    torch.manual_seed(7)
    whole = WhisperClassifier(3, **SMALL).eval()
    cached = store(utterances, tmp_path, replace(RECIPES["whisper"], crop_s=None), whole).pieces()
    front = front_end(whole.front_end, whole.front_end_settings)
    with torch.inference_mode():
        for number, utterance in enumerate(utterances):
            expected = whole(front([load(str(utterance.path), 16_000)], torch.device("cpu")))
            values = cached.piece(number)[None]
            found = whole.forward_trainable(Features(values, torch.tensor([values.shape[2]])))
            assert torch.allclose(found, expected, atol=1e-5)


def test_views_are_quick_where_hardware_allows_and_pieces_exact(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    """A frozen encoder's views in bfloat16 are close to, pieces equal to those of float32."""
    frozen = WhisperClassifier(2, **SMALL)
    mixed, exact = (
        store(utterances, tmp_path, optimised(PLAIN, precision=each), frozen)
        for each in ("mixed", "float32")
    )
    assert same(mixed.pieces(), exact.pieces())
    quick, slow = mixed.view(0), exact.view(0)
    assert np.abs(quick.frames - slow.frames).max() < 0.1 * slow.frames.std()
    assert same(quick, slow) is not has_bfloat16(torch.device("cpu"))


def test_a_cut_cache_is_written_again(utterances: list[Utterance], tmp_path: Path) -> None:
    first = store(utterances, tmp_path).view(0)
    frames = np.array(first.frames)
    for file in first.files:
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        again = store(utterances, tmp_path).view(0)
        assert np.array_equal(again.frames, frames)
        assert file.read_bytes() == whole


def test_a_cache_of_an_earlier_version_is_written_again(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    """Which had no durations."""
    first = store(utterances, tmp_path).view(0)
    index = first.files[0]
    whole = np.load(index)
    np.save(index, whole[:, :4])
    again = store(utterances, tmp_path).view(0)
    assert np.array_equal(np.load(index), whole)
    assert np.array_equal(again.durations_s, first.durations_s)


def test_a_temporary_view_is_not_cached(utterances: list[Utterance], tmp_path: Path) -> None:
    contents = [content_of(each) for each in utterances]
    recipe = replace(PLAIN, augmentation=NOISY)
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    own = Store(network(), recipe, utterances, contents, cache, scratch)
    temporary = own.view(3, temporary=True)
    assert not cache.exists()
    cached = own.view(3)
    assert same(temporary, cached)
    temporary.remove()
    assert not list(scratch.iterdir())
    assert same(own.view(3), cached)

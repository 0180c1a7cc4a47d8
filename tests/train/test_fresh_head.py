"""Trainings that start from a checkpoint's encoder, and what of a checkpoint they keep."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import Runner
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from trainings import SETS, training

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from models.checkpoint import read_info, read_weights
from models.loading import SHIPPED
from train.data.corpora import read_data
from train.fitting.initialisation import new_network
from train.fitting.left_out import SHORT_S
from train.recipes.presets import RECIPES
from train.run import TrainConfig, train
from train.splits.splits import make_split

INCLUDED = SHIPPED / "accurate.safetensors"
CHECKPOINT = "checkpoint.safetensors"
MIT = "encoder of OpenAI's Whisper tiny.en"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def nothing_shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file of the shared folder is there."""
    monkeypatch.setenv("BATCH_SER_SHARED", str(tmp_path / "no shared folder"))


def accurate(tree: Path, out: Path, **rest: Any) -> TrainConfig:
    """A training of the real size, without figures, on 24 recordings of a second."""
    options: dict[str, Any] = {"split": "none", "device": "cpu", "cache": str(out.parent / "cache")}
    return TrainConfig((f"ravdess:{tree}",), "accurate", str(out), **options | rest)


def trained(config: TrainConfig) -> Tensors:
    train(config)
    return load_file(config.folder / CHECKPOINT)


def encoder_of(tensors: Tensors) -> Tensors:
    prefix = "encoder."
    return {
        name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)
    }


def same(one: Tensors, other: Tensors) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def rewritten(source: Path, out: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> Path:
    """A checkpoint with other tensors and the same metadata."""
    with safe_open(source, framework="pt") as file:
        metadata = file.metadata()
    tensors = {name: change(name, each) for name, each in load_file(source).items()}
    save_file(tensors, out, metadata=metadata)
    return out


@pytest.fixture(scope="module")
def fresh(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A finished training of a fresh head."""
    config = accurate(tree, tmp_path_factory.mktemp("fresh") / "run", fresh_head=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCH_SER_SHARED", "no shared folder")
        train(config)
    return config


def tensors_of(config: TrainConfig) -> Tensors:
    return load_file(config.folder / CHECKPOINT)


def test_an_included_encoder_fits_the_same_head_as_its_plain_weights(
    fresh: TrainConfig, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.safetensors"
    save_file(encoder_of(load_file(INCLUDED)), plain)
    other = replace(fresh, fresh_head=False, init=str(plain), out=str(tmp_path / "run"))
    assert same(trained(other), tensors_of(fresh))
    infos = [read_info(each.folder / CHECKPOINT) for each in (fresh, other)]
    assert infos[0].temperature == infos[1].temperature
    assert all([each["name"] for each in info.corpora] == ["RAVDESS", MIT] for info in infos)


def test_one_encoder_by_name_path_and_the_weights_that_it_came_from(
    tmp_path: Path, shared: Path
) -> None:
    copy = shutil.copy(INCLUDED, tmp_path / "copy.safetensors")
    file = shared / "weights" / "whisper_tiny_en_encoder.safetensors"
    inits = ("accurate", str(copy), str(file))
    one, *others = (new_network(RECIPES["accurate"], 3, init, 0) for init in inits)
    assert all(same(one.state_dict(), other.state_dict()) for other in others)
    assert not any(each.requires_grad for each in one.encoder.parameters())


def test_nothing_numeric_of_the_included_head_remains(fresh: TrainConfig) -> None:
    """Every tensor but the encoder's differs, but for constants and settings of the recipe."""
    found, included = tensors_of(fresh), load_file(INCLUDED)
    assert same(encoder_of(found), encoder_of(included))
    others = {name for name in found if not name.startswith("encoder.")}
    fitted = {"shift", "hidden.1.weight", "head.means", "head.usual", "head.speakers"}
    for name in fitted:
        assert not torch.equal(found[name].float(), included[name].float()), name
    # the scale and bias of every such head, of whatever data
    assert torch.equal(found["scale"].float(), torch.ones(len(found["scale"])))
    assert not found["hidden.1.bias"].any()
    lda = RECIPES["accurate"].lda
    assert float(found["head.mixture"]) == lda.mixture
    assert float(found["head.conditions"]) == lda.conditions  # of a single corpus
    assert float(found["head.short_s"]) in SHORT_S  # the best one by the data
    constants = {"scale", "hidden.1.bias", "head.mixture", "head.conditions", "head.short_s"}
    assert others == fitted | constants
    infos = read_info(fresh.folder / CHECKPOINT), read_info(INCLUDED)
    assert infos[0].temperature != infos[1].temperature


def test_a_fresh_head_does_not_depend_on_the_head_that_it_replaces(
    fresh: TrainConfig, tmp_path: Path
) -> None:
    """With random numbers instead of it in the checkpoint, the new one is the same, bit for bit."""
    draw = torch.Generator().manual_seed(1)

    def random_head(name: str, each: torch.Tensor) -> torch.Tensor:
        if name.startswith("encoder."):
            return each
        return torch.rand(each.shape, generator=draw).to(each.dtype)

    other = rewritten(INCLUDED, tmp_path / "other.safetensors", random_head)
    assert not same(load_file(other), load_file(INCLUDED))
    config = replace(fresh, init=str(other), out=str(tmp_path / "run"))
    assert same(trained(config), tensors_of(fresh))


def test_a_fresh_head_rests_on_the_data_and_the_encoder(
    recordings: Path, tmp_path: Path, speech: Samples, batch_ser: Runner
) -> None:
    """Fitted on recordings of one's own and on ordinary speech under CC BY, and so its card."""
    for number in range(6):
        path = tmp_path / "speechocean" / f"SPEAKER{number % 3}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech[(number + 4) * 12_000 :][:12_000], 16_000)
    done = batch_ser(
        *("train", "--recipe", "accurate", "--fresh-head", "--split", "none"),
        *("--data", f"manifest:{recordings}", "--data", f"ordinary:{tmp_path / 'speechocean'}"),
        *("--out", "mine.safetensors"),
    )
    assert done.returncode == 0, done.stderr
    info = read_info(tmp_path / "mine.safetensors")
    own = f"manifest:{recordings.stem}"
    assert [each["name"] for each in info.corpora] == [own, "speechocean762", MIT]
    assert info.licence == (
        "not stated: recordings of the user's own; CC BY 4.0; MIT "
        f"(trained on {own}, speechocean762; {MIT})"
    )
    card = (tmp_path / "mine.md").read_text()
    assert f"- {MIT}: MIT (github.com/openai/whisper" in card
    assert f"The encoder rests on: {MIT}." in card
    assert "a question for your lawyer" in card
    assert "RAVDESS" not in card
    assert "For commercial use" not in card
    assert "acted" not in card.split("## What to expect")[0]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """A manifest of fifty recordings of five speakers, of three labels."""
    folder = tmp_path_factory.mktemp("mine")
    lines = []
    for number in range(50):
        label = ("neutral", "happy", "angry")[number % 3]
        samples = speech[number * 7_700 :][:12_000] * (0.2 + 0.3 * (number % 3))
        samples = samples if number % 3 else np.convolve(samples, np.ones(6) / 6, "same")
        soundfile.write(folder / f"{number}.wav", samples.astype(np.float32), 16_000)
        lines.append([f"{number}.wav", label, f"s{number % 5}"])
    write(folder / "fifty.csv", lines)
    return folder / "fifty.csv"


def write(path: Path, lines: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "speaker"], *lines])


def with_speakers(manifest: Path, name: str, speaker: Callable[[str, str], str]) -> str:
    """The same recordings, their speakers by label and name."""
    with manifest.open(newline="") as file:
        lines = [
            [each["file"], each["label"], speaker(each["label"], each["speaker"])]
            for each in csv.DictReader(file)
        ]
    write(manifest.with_name(name), lines)
    return f"manifest:{manifest.with_name(name)}"


def small(data: str, out: Path, encoder: Path) -> TrainConfig:
    """A training of a fresh head on a small encoder of one's own."""
    sets = SETS["accurate"]
    return TrainConfig((data,), "accurate", str(out), str(encoder), True, "none", overrides=sets)


@pytest.mark.parametrize("known", [True, False], ids=["speakers", "no speakers"])
def test_fifty_recordings_are_enough(known: bool, recordings: Path, tmp_path: Path) -> None:
    """None is held back to validate by, which nothing needs."""
    data = with_speakers(recordings, f"known-{known}.csv", lambda _, who: who if known else "")
    config = accurate(recordings, tmp_path / "run", fresh_head=True)
    train(replace(config, data=(data,), cache=str(recordings.parent / "cache")))
    info = read_info(tmp_path / "run" / CHECKPOINT)
    assert 0.1 < info.temperature < 99
    assert info.corpora[0]["recordings"] == 50
    assert info.labels == ("neutral", "happy", "angry")


def test_fifty_recordings_are_cross_validated(
    recordings: Path, tmp_path: Path, encoder: Path
) -> None:
    config = small(f"manifest:{recordings}", tmp_path / "run", encoder)
    train(replace(config, split="kfold:2", figures_only=True))
    folds = json.loads((tmp_path / "run" / "split.json").read_text())["folds"]
    assert [[len(each[side]) for side in ("train", "valid", "test")] for each in folds] == [
        [25, 0, 25],
        [25, 0, 25],
    ]
    assert set(json.loads((tmp_path / "run" / "figures.json").read_text())) >= {"fold 1", "mean"}
    # a recipe that needs a valid side takes one out of what these folds train on
    (fold, _) = make_split(
        f"saved:{tmp_path / 'run' / 'split.json'}",
        read_data([f"manifest:{recordings}"]),
        [str(number) for number in range(50)],
        seed=0,
        valid_share=0.2,
    ).folds
    assert [side.sum() for side in (fold.train, fold.valid, fold.test)] == [20, 5, 25]


@pytest.mark.parametrize(
    "speaker",
    [lambda *_: "me", lambda label, _: label],
    ids=["one speaker", "speakers of one label each"],
)
def test_what_cannot_be_calibrated_is_refused(
    speaker: Callable[[str, str], str], recordings: Path, tmp_path: Path, encoder: Path
) -> None:
    data = with_speakers(recordings, "not.csv", speaker)
    config = small(data, tmp_path / "run", encoder)
    with pytest.raises(UsageError, match=r"no speakers .* could be left out .* are not stated"):
        train(config)


@pytest.mark.parametrize(
    ("recipe", "init", "message"),
    [
        ("fast", "accurate", r"--init accurate: .*architecture whisper.*give --recipe accurate"),
        ("accurate", "fast", r"--init fast: .*architecture tdnn.*give --recipe fast"),
        ("whisper-frozen", "accurate", "found 2 layers, .*whisper-frozen with settings.layers=4.*"
            "or --recipe accurate"),
        ("whisper", "accurate", "--recipe accurate, which takes 2"),
        ("student", "fast", "expected one of whisper, whose encoder the recipe student takes"),
        ("accurate", None, r"set BATCH_SER_SHARED, .*or --init accurate"),
        ("student", None, "or --init accurate"),
        ("accurate", "none.safetensors", "there are no weights at none.safetensors"),
        ("accurate", "a.onnx", "an exported file, .* checkpoint from which it was exported"),
    ],
)  # fmt: skip
def test_encoders_that_a_recipe_cannot_take(
    recipe: str, init: str | None, message: str, tree: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    options = ("--init", init) if init else ()
    done = batch_ser(
        *("train", "--recipe", recipe, "--data", f"ravdess:{tree}", "--out", "run", *options)
    )
    assert done.returncode == 2
    with pytest.raises(UsageError, match=message):
        train(TrainConfig((f"ravdess:{tree}",), recipe, str(tmp_path / "run"), init))
    assert not (tmp_path / "run").exists()


def test_a_recipe_of_more_layers_has_no_way_out_in_the_package(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="set BATCH_SER_SHARED") as refused:
        train(TrainConfig((f"ravdess:{tree}",), "whisper-frozen", str(tmp_path / "run")))
    assert "--init accurate" not in str(refused.value)


def test_sizes_that_no_weight_shows_are_compared(tree: Path, tmp_path: Path) -> None:
    for setting, message in (
        ("settings.heads=12", "it has 6 attention heads, the recipe 12"),
        ("settings.d_model=192", "not the weights of this encoder"),
        ("settings.final_norm=true", "expected settings.final_norm=false"),
    ):
        config = accurate(tree, tmp_path / "run", init="accurate", overrides=(setting,))
        with pytest.raises(UsageError, match=message):
            train(config)


def test_metadata_and_weights_of_different_sizes_are_refused(tree: Path, tmp_path: Path) -> None:
    def shorter(name: str, each: torch.Tensor) -> torch.Tensor:
        return each[:-1].clone() if name == "encoder.conv1.bias" else each

    other = rewritten(INCLUDED, tmp_path / "other.safetensors", shorter)
    with pytest.raises(UsageError, match=r"--init .*conv1\.bias"):
        train(accurate(tree, tmp_path / "run", init=str(other)))


@pytest.mark.parametrize(
    ("recipe", "init", "message"),
    [
        ("fast", None, "by distillation: that of fast from Indian EmoSpeech Command 0.1 .*URDU"),
        ("accurate", "fast", r"by distillation.*; expected --recipe accurate"),
        ("student", None, "--fresh-head: found --recipe student; expected --recipe accurate"),
        ("gap-cnn", None, "--fresh-head: found --recipe gap-cnn; expected --recipe accurate"),
        ("whisper-frozen", None, "found --recipe whisper-frozen; expected --recipe accurate"),
    ],
)
def test_a_fresh_head_needs_an_encoder_that_learned_from_no_corpus(
    recipe: str, init: str | None, message: str, tree: Path, tmp_path: Path
) -> None:
    config = replace(accurate(tree, tmp_path / "run", fresh_head=True, init=init), recipe=recipe)
    with pytest.raises(UsageError, match=message):
        train(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_fine_tuned_encoder_carries_its_corpora_along(
    tree: Path, recordings: Path, tmp_path: Path, finished: Callable[[str], Path]
) -> None:
    """Through further trainings, and no fresh head keeps it; its front end must be the same."""
    tuned, level = finished("whisper") / CHECKPOINT, "front_end={}"
    sets = ("settings.d_model=32", "settings.heads=2", "settings.hidden=8", level)
    config = accurate(tree, tmp_path / "first", init=str(tuned), overrides=sets)
    config = replace(config, data=(f"manifest:{recordings}",))
    train(config)
    names = [f"manifest:{recordings.stem}", "RAVDESS", "encoder in encoder.safetensors"]
    first = tmp_path / "first" / CHECKPOINT
    assert [each["name"] for each in read_info(first).corpora] == names
    again = with_speakers(recordings, "again.csv", lambda _, who: who)
    train(replace(config, data=(again,), init=str(first), out=str(tmp_path / "second")))
    second = read_info(tmp_path / "second" / CHECKPOINT)
    assert [each["name"] for each in second.corpora] == ["manifest:again", *names[1:]]
    assert "CC BY-NC-SA" in second.licence
    assert torch.equal(
        read_weights(first)["encoder.layers.1.fc1.weight"],
        read_weights(tuned)["encoder.layers.1.fc1.weight"],
    )
    for changes, message in (
        ({"fresh_head": True}, "the encoder of --init .* learned from RAVDESS; expected"),
        ({"overrides": sets[:-1]}, r"trained with the front_end \{\}, found \{'level': -4.3\}"),
    ):
        with pytest.raises(UsageError, match=message):
            train(replace(config, out=str(tmp_path / "no"), **changes))


@pytest.mark.slow
def test_a_student_learns_from_the_included_encoder(tree: Path, tmp_path: Path) -> None:
    train(training(tree, tmp_path / "run", "student", init="accurate"))
    names = [each["name"] for each in read_info(tmp_path / "run" / CHECKPOINT).corpora]
    assert names == ["RAVDESS", MIT]


def test_a_training_goes_on_with_and_without_the_default(
    fresh: TrainConfig, tmp_path: Path
) -> None:
    """`--fresh-head` alone and with `--init accurate` are one training."""
    shutil.copytree(fresh.folder, tmp_path / "run")
    config = replace(fresh, init="accurate", out=str(tmp_path / "run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.fold.fit_lda", lambda *_: pytest.fail("it was fitted again"))
        train(config)
    with pytest.raises(UsageError, match=r"other settings \(fresh_head\)"):
        train(replace(config, fresh_head=False))

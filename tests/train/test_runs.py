"""A run's folder: a stopped training goes on in it, another one is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from safetensors.torch import load_file
from sklearn.metrics import recall_score
from trainings import training

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from models.checkpoint import read_info
from train import fold as fold_module
from train.run import TrainConfig, train
from train.run_folder import WRITTEN, digest_of, fold_folders, fold_number


def tensors(out: Path) -> dict[str, Any]:
    return load_file(out / "checkpoint.safetensors")


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_checkpoint(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the first epoch; the second call finds its state."""
    from train.fitting import gradient

    def config(name: str, **rest: Any) -> TrainConfig:
        cache = str(tmp_path / "cache")
        return training(tree, tmp_path / name, "gap-cnn", "epochs=2", cache=cache, **rest)

    train(config("calm"))
    write = gradient.save_state

    def interrupted(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gradient, "save_state", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config("stopped"))
    assert (tmp_path / "stopped" / "state.safetensors").exists()
    assert not (tmp_path / "stopped" / "checkpoint.safetensors").exists()
    train(config("stopped"))
    assert not (tmp_path / "stopped" / "state.safetensors").exists()
    calm, stopped = tensors(tmp_path / "calm"), tensors(tmp_path / "stopped")
    assert all(np.array_equal(calm[name], stopped[name]) for name in calm)
    train(config("other", seed=1))
    other = tensors(tmp_path / "other")
    assert not all(np.array_equal(calm[name], other[name]) for name in calm)


@pytest.mark.slow
def test_a_folder_with_something_else_in_it_is_refused(
    tree: Path, tmp_path: Path, finished: Callable[[str], Path]
) -> None:
    out = tmp_path / "gap-cnn"
    shutil.copytree(finished("gap-cnn"), out)
    for change, named in (
        ({"seed": 1}, "seed"),
        ({"split": "random:50/25/25"}, "split"),
        ({"labels": "happy,angry"}, "labels, recordings"),
    ):
        with pytest.raises(UsageError, match=rf"other settings \({named}\).*--restart"):
            train(training(tree, out, "gap-cnn", **change))
    with pytest.raises(UsageError, match=r"other settings \(overrides, optimisation\.clip\)"):
        train(training(tree, out, "gap-cnn", "clip=none"))
    before = (out / "checkpoint.safetensors").read_bytes()
    train(training(tree, out))  # the same one: nothing to do
    assert (out / "checkpoint.safetensors").read_bytes() == before
    train(training(tree, out, seed=1, restart=True))
    assert (out / "checkpoint.safetensors").read_bytes() != before


@pytest.mark.slow
def test_other_recordings_do_not_go_on_with_a_training(
    tree: Path, tmp_path: Path, finished: Callable[[str], Path]
) -> None:
    """A recording more would move others from the test side into training."""
    shutil.copytree(tree, tmp_path / "tree")
    out = tmp_path / "gap-cnn"
    shutil.copytree(finished("gap-cnn"), out)
    config = json.loads((out / "config.json").read_text())
    config["training"]["data"] = [f"ravdess:{tmp_path / 'tree'}"]
    (out / "config.json").write_text(json.dumps(config))
    train(training(tmp_path / "tree", out))  # the same, elsewhere
    next((tmp_path / "tree").rglob("*.wav")).unlink()
    with pytest.raises(UsageError, match=r"other settings \(recordings\)"):
        train(training(tmp_path / "tree", out))


def test_a_folder_that_is_no_run_is_left_alone(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    (tmp_path / "file").write_text("no folder")
    for name in ("photos", "file"):
        for restart in (False, True):
            with pytest.raises(UsageError, match="is not the folder of a training"):
                train(training(tree, tmp_path / name, restart=restart))
    assert (tmp_path / "photos" / "cat.png").exists()


def test_a_model_s_folder_is_not_taken_for_a_run(tree: Path, tmp_path: Path) -> None:
    """Every Hugging Face directory has a config.json."""
    for number, text in enumerate(('{"model_type": "x"}', "[]", "", "{")):
        out = tmp_path / str(number)
        (out / "sub").mkdir(parents=True)
        (out / "config.json").write_text(text)
        (out / "sub" / "model.bin").write_text("precious")
        for restart in (False, True):
            with pytest.raises(UsageError, match="is not the folder of a training"):
                train(training(tree, out, restart=restart))
        assert (out / "sub" / "model.bin").exists()


@pytest.mark.slow
def test_beginning_again_deletes_what_a_training_wrote_and_nothing_else(
    tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train(training(tree, out, split="speakers:2"))
    (out / "fold-1" / "notes.txt").write_text("mine")
    others = [out / "pictures" / "metrics.json", out / "fold-9" / "config.json"]
    for each in others:  # not a fold's folder, and a training of its own
        each.parent.mkdir()
        each.write_text("{}")
    stale = out / "fold-2" / "checkpoint.safetensors"
    before = stale.read_bytes()
    train(training(tree, out, split="speakers:2", seed=1, restart=True))
    assert (out / "fold-1" / "notes.txt").read_text() == "mine"
    assert all(each.exists() for each in others)
    assert stale.read_bytes() != before


@pytest.mark.slow
def test_somebody_s_checkpoint_is_not_overwritten(
    tree: Path, tmp_path: Path, finished: Callable[[str], Path]
) -> None:
    target = tmp_path / "mine.safetensors"
    shutil.copy(finished("gap-cnn") / "checkpoint.safetensors", target)
    before = target.read_bytes()
    with pytest.raises(UsageError, match=r"there is such a file, and no .*mine\.run"):
        train(training(tree, target))
    assert target.read_bytes() == before
    assert not (tmp_path / "mine.run").exists()


def test_folds_named_after_speakers_have_folders_of_their_own() -> None:
    folder = Path("out")
    names = ("a b", "a-b", "a/b", "..", "config.json", "", "fold 1", "x" * 300)
    found = fold_folders(folder, names)
    assert len({str(each) for each in found}) == len(names)
    assert [fold_number(each) for each in found] == list(range(1, len(names) + 1))
    for each in found:
        assert each.parent == folder
        assert each.name not in WRITTEN | {"..", "."}
        assert len(each.name) < 100
    assert fold_folders(folder, names[:1]) == [folder]


def test_what_init_names_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("one")
    before = digest_of(str(tmp_path))
    assert before == digest_of(str(tmp_path))
    (tmp_path / "model.safetensors").write_text("two")
    assert before != digest_of(str(tmp_path))
    assert digest_of(str(tmp_path / "model.safetensors")) != digest_of(str(tmp_path))
    assert digest_of(None) is None


def test_a_training_that_diverges_is_an_error(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the training diverged; give a lower"):
        train(training(tree, tmp_path / "run", "gap-cnn", "learning_rate=1e30", "clip=none"))
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_several_corpora_have_figures_of_their_own(
    tree: Path, tmp_path: Path, speech: Samples
) -> None:
    """Each among the labels that it has, as EmoBox does: the figures are those of predictions."""
    for number in range(12):
        path = tmp_path / "mine" / ("neutral", "angry")[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech[(number + 8) * 9_000 :][:9_000], 16_000)
    data = (f"ravdess:{tree}", f"folder:{tmp_path / 'mine'}")
    train(replace(training(tree, tmp_path / "run", split="random:50/20/30"), data=data))
    figures = json.loads((tmp_path / "run" / "figures.json").read_text())
    assert set(figures) == {"random ravdess", "random folder:mine"}
    assert "among the labels that it has" in (tmp_path / "run" / "report.txt").read_text()
    found = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    for corpus, own in found.groupby("corpus"):
        labels = sorted(set(own["label"]))
        best = own[[f"p_{label}" for label in labels]].to_numpy().argmax(1)
        expected = recall_score(own["label"], [labels[i] for i in best], average="macro")
        assert figures[f"random {corpus}"]["UAR"] == pytest.approx(expected)


@pytest.mark.slow
def test_a_training_of_a_version_with_fewer_settings_goes_on(tree: Path, tmp_path: Path) -> None:
    """A setting that came later has its default; another value of it is another training."""
    config = training(tree, tmp_path / "run")
    train(config)
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    del content["recipe"]["float16"], content["recipe"]["augmentation"]["babble_snr_db"]
    del content["training"]["allow_leak"], content["recipe"]["lda"]
    content["teacher"] = content["training"]["teacher"] = None
    path.write_text(json.dumps(content))
    train(config)
    path.write_text(json.dumps(content))
    for other in ("float16=true", "babble_snr_db=[5,9]", "lda.shrinkage=0.1"):
        with pytest.raises(UsageError, match="other settings"):
            train(replace(config, overrides=(*config.overrides, other)))
    with pytest.raises(UsageError, match="other settings"):
        train(replace(config, allow_leak=True))


@pytest.mark.slow
def test_a_training_by_a_flat_recipe_is_another_training(tree: Path, tmp_path: Path) -> None:
    """Recipes had no groups once; their settings are not taken for defaults."""
    config = training(tree, tmp_path / "run", "gap-cnn", "epochs=1")
    train(config)
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    optimisation = content["recipe"].pop("optimisation")
    path.write_text(json.dumps(content | {"recipe": content["recipe"] | optimisation}))
    with pytest.raises(UsageError, match=r"other settings \(.*epochs.*\); give another --out"):
        train(config)


@pytest.mark.slow
def test_the_card_names_copies_on_both_sides(tree: Path, tmp_path: Path) -> None:
    train(training(tree, tmp_path / "run", "gap-cnn", "epochs=1", allow_leak=True))
    card = (tmp_path / "run" / "checkpoint.md").read_text()
    assert "with --allow-leak the test side may have been trained on" in card


@pytest.mark.slow
def test_a_refit_trains_on_the_valid_side_that_the_temperature_was_found_on(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[int] = []
    real = fold_module.fit

    def counted(network: Any, task: Any, path: Path) -> Any:
        sides.append(len(task.train))
        return real(network, task, path)

    monkeypatch.setattr(fold_module, "fit", counted)
    for name, refit in (("once", "refit=false"), ("again", "refit=true")):
        train(training(tree, tmp_path / name, "gap-cnn", "monitor=last", refit))
    split = json.loads((tmp_path / "again" / "split.json").read_text())["folds"][0]
    train_side, valid_side = len(split["train"]), len(split["valid"])
    assert sides == [train_side, train_side, train_side + valid_side]
    once, again = (
        read_info(tmp_path / name / "checkpoint.safetensors") for name in ("once", "again")
    )
    assert once.temperature == again.temperature
    assert not np.array_equal(
        *(tensors(tmp_path / name)["head.1.weight"] for name in ("once", "again"))
    )
    assert {path.name for path in (tmp_path / "again").iterdir()} == {
        path.name for path in (tmp_path / "once").iterdir()
    }

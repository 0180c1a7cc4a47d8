"""A run's folder: a stopped training goes on in it, another one is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from trainings import training

from batch_ser.errors import UsageError
from train.run import TrainConfig, train


def tensors(out: Path) -> dict[str, Any]:
    return load_file(out / "checkpoint.safetensors")


def test_a_stopped_training_goes_on_to_the_same_checkpoint(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the first epoch; the second call finds its state."""
    from train import fit

    def config(name: str, **rest: Any) -> TrainConfig:
        cache = str(tmp_path / "cache")
        return training(tree, tmp_path / name, "gap-cnn", "epochs=2", cache=cache, **rest)

    train(config("calm"))
    write = fit.save_state

    def interrupted(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "save_state", interrupted)
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
    with pytest.raises(UsageError, match=r"other settings \(overrides, clip\)"):
        train(training(tree, out, "gap-cnn", "clip=none"))
    before = (out / "checkpoint.safetensors").read_bytes()
    train(training(tree, out))  # the same one: nothing to do
    assert (out / "checkpoint.safetensors").read_bytes() == before
    train(training(tree, out, seed=1, restart=True))
    assert (out / "checkpoint.safetensors").read_bytes() != before


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

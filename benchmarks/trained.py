"""Trainings that benchmarks share: each is done once, and read from its folder later."""

import json
import sys
from pathlib import Path
from typing import Any

from results import SHARED

from batch_ser.errors import UsageError
from train.run import TrainConfig, train
from train.run_folder import other_settings

DATA = SHARED / "data"
RAVDESS = f"ravdess:{DATA / 'ravdess'}"
ASED, TUREV = f"ased:{DATA / 'ased'}", f"turev:{DATA / 'turev'}"
NEMO = f"nemo:{DATA / 'nemo'}"
EMOBOX = f"emobox:{SHARED / 'benchmarks' / 'emobox_folds.json'}"
RANDOM = "random:80/10/10"


def trained(out: Path, cache: Path, data: tuple[str, ...], recipe: str, **more: Any) -> Path:
    """The folder of a training, done now unless an earlier call ended it.

    Raises:
        UsageError: that folder is of another recipe; delete it, and the training is done again.
    """
    config = TrainConfig(data, recipe, str(out), cache=str(cache), **more)
    if not (config.folder / "figures.json").exists() or not _whole(config):
        print(f"== {out}", file=sys.stderr, flush=True)
        print(train(config), file=sys.stderr, flush=True)
    earlier = read(config.folder / "config.json")["recipe"]
    if changed := other_settings(earlier, json.loads(json.dumps(config.chosen_recipe().stored()))):
        raise UsageError(f"{config.folder}: of another recipe ({', '.join(changed)}); delete it")
    return config.folder


def _whole(config: TrainConfig) -> bool:
    """Whether the checkpoint is there beside the figures, where one is expected."""
    out = Path(config.out or "")
    return config.figures_only or out.suffix != ".safetensors" or out.exists()


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def require_corpora() -> None:
    """End with a message where the recordings are missing."""
    if not DATA.is_dir():
        sys.exit(f"no corpora at {SHARED}: set BATCH_SER_SHARED")

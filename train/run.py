"""One training: data, split, a network for each fold, figures, the checkpoint, its card."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from batch_ser.errors import UsageError
from models.architectures import build
from models.checkpoint import read_info, read_weights, save_checkpoint
from models.device import usable_device
from models.loading import load_checkpoint
from train import metrics
from train.card import card
from train.corpora import overview
from train.data import Data, labelled, read
from train.evaluation import Predictions, predict, write_evaluation
from train.fold import CHECKPOINT, Study, train_fold, versions
from train.folds import Fold
from train.recipes import Recipe, as_text, find_recipe
from train.splits import Split, default_split, everything, make_split

SUFFIX = ".safetensors"
CONFIG, SPLIT = "config.json", "split.json"
FREE = ("out", "cache", "restart", "figures_only")  # may change when a training goes on
NOT_INDEPENDENT = "the test speakers were also heard in training: the figures are for known voices"


@dataclass(frozen=True)
class TrainConfig:
    """One training, as the command line gives it."""

    data: tuple[str, ...]
    recipe: str
    out: str | None = None
    init: str | None = None
    split: str = ""
    seed: int = 0
    cache: str | None = None
    labels: str | None = None
    overrides: tuple[str, ...] = ()  # FIELD=VALUE
    device: str = "auto"
    allow_duplicates: bool = False
    allow_leak: bool = False
    figures_only: bool = False  # no checkpoint on everything after several folds
    restart: bool = False

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: expected 0 or more")

    def show(self) -> str:
        """The recipe with every field, and what would be trained on."""
        shown = [as_text(find_recipe(self.recipe, self.overrides))] if self.recipe else []
        if self.data:
            shown += [overview(labelled(self.data, self.labels))]
        return "\n\n".join(shown)

    def chosen(self) -> Recipe:
        """The recipe with its fields changed.

        Raises:
            UsageError: it does not exist, or asks of a network what it cannot do.
        """
        recipe = find_recipe(self.recipe, self.overrides)
        regression = recipe.fit == "linear" or recipe.probe
        if regression and (recipe.architecture != "whisper" or recipe.settings.get("hidden")):
            raise UsageError(
                f"recipe {recipe.name}: fit=linear and probe=true need the architecture whisper "
                "with settings.hidden=0"
            )
        changed = set(recipe.augment.of_samples()) - {"probability", "pad"}
        if recipe.fit == "gradient" and recipe.views == 1 and changed:
            raise UsageError(
                f"views=1 hears every recording as it is: augment.{min(changed)} changes nothing; "
                "expected views=2 or more, or 0 for a new version each epoch"
            )
        return recipe

    @property
    def folder(self) -> Path:
        """The run's folder: `--out`, or beside the checkpoint that it names."""
        if not self.out:
            raise UsageError("--out: expected a folder for the run, or a checkpoint's name")
        path = Path(self.out)
        return path.with_suffix(".run") if path.suffix == SUFFIX else path


def train(config: TrainConfig) -> str:
    """Fit a checkpoint, write the run's folder, and return the figures as lines.

    Raises:
        UsageError: the data, recipe, split, labels or weights cannot be used as given.
    """
    recipe, folder = config.chosen(), config.folder
    device = torch.device(usable_device(config.device))
    data = read(config.data, config.labels, config.allow_duplicates)
    text = config.split or default_split(data.utterances)
    split = make_split(
        text, data.utterances, data.contents, config.seed, recipe.valid_share, config.allow_leak
    )
    _claim(folder, config, recipe, data)
    split.save(folder / SPLIT, data.utterances)
    with _cache(config.cache) as cache, torch.random.fork_rng():
        study = Study(data, recipe, config.init, config.seed, device, cache)
        found = [_fold(study, fold, _folder_of(folder, split, fold)) for fold in split.folds]
        lines = _figures(folder, split, found, config) if found else []
        asked = len(split.folds) != 1 and not config.figures_only
        if asked and not (folder / CHECKPOINT).exists():
            whole = everything(data.utterances, data.contents, config.seed, recipe.valid_share)
            train_fold(study, whole, folder, _name(config))
    if (folder / CHECKPOINT).exists():
        lines += _publish(config, folder, all_seen=len(split.folds) != 1)
    return "\n".join([*lines, f"written: {folder}"])


def _claim(folder: Path, config: TrainConfig, recipe: Recipe, data: Data) -> None:
    """Take the run's folder; one with another training in it is refused.

    Raises:
        UsageError: the folder holds something else.
    """
    content = {
        "training": asdict(config),
        "recipe": recipe.stored(),
        "recordings": {"count": len(data.utterances), "digest": data.digest()},
        "versions": versions(),
    }
    path = folder / CONFIG
    if config.restart and path.exists():
        shutil.rmtree(folder)
    if path.exists():
        changed = _changed(json.loads(path.read_text()), json.loads(json.dumps(content)))
        if changed:
            raise UsageError(
                f"--out {config.out}: {folder} holds a training with other settings "
                f"({', '.join(changed)}); give another --out, or --restart to begin again"
            )
    elif folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise UsageError(
            f"--out {config.out}: {folder} is not the folder of a training; expected a new one, "
            "or one that an earlier training wrote"
        )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def _changed(earlier: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs, of everything that a training's result depends on."""
    fields = [
        (part, key)
        for part in ("training", "recipe", "recordings")
        for key in now[part]
        if not (part == "training" and key in FREE)
    ]
    changed = [
        "recordings" if part == "recordings" else key
        for part, key in fields
        if earlier.get(part, {}).get(key) != now[part][key]
    ]
    return list(dict.fromkeys(changed))


@contextmanager
def _cache(folder: str | None) -> Iterator[Path]:
    """Where features are kept: the user's folder, or one that goes with the training."""
    if folder:
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="batch-ser-") as own:
        yield Path(own)


def _folder_of(folder: Path, split: Split, fold: Fold) -> Path:
    if len(split.folds) == 1:
        return folder
    return folder / fold.name.replace(" ", "-").replace("/", "-")


def _fold(study: Study, fold: Fold, folder: Path) -> Predictions:
    """Train a fold unless an earlier call did, and predict its test side."""
    if not (folder / CHECKPOINT).exists():
        print(f"{fold.name}: {fold.train.sum()} train, {fold.valid.sum()} valid, "
              f"{fold.test.sum()} test", file=sys.stderr)  # fmt: skip
        train_fold(study, fold, folder, folder.name)
    checkpoint = load_checkpoint(folder / CHECKPOINT, study.device.type)
    test = study.data.chosen(list(np.flatnonzero(fold.test)))
    found = predict(checkpoint, test, fold.name)
    print(metrics.as_line(fold.name, found.known().scores()), file=sys.stderr)
    return found


def _figures(
    folder: Path, split: Split, found: list[Predictions], config: TrainConfig
) -> list[str]:
    """Write the held-out figures, of all folds together where they have the same labels."""
    note = "" if all(fold.independent for fold in split.folds) else NOT_INDEPENDENT
    about = {
        "data": ", ".join(config.data),
        "split": f"{split.name}, seed {split.seed}",
        "note": note,
    }
    figures = {one.folds[0]: one.known().scores() for one in found}
    if len({one.labels for one in found}) == 1:
        together = found[0]
        for one in found[1:]:
            together += one
        write_evaluation(folder, together, about, every_label=True)
    else:
        for fold, one in zip(split.folds, found, strict=True):
            write_evaluation(_folder_of(folder, split, fold), one, about, every_label=True)
    if len(found) > 1:
        figures["mean"] = metrics.mean_scores(list(figures.values()))
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    return [metrics.as_line(name, values) for name, values in figures.items()] + [note] * bool(note)


def _name(config: TrainConfig) -> str:
    return Path(config.out or "").stem


def _publish(config: TrainConfig, folder: Path, all_seen: bool) -> list[str]:
    """Put the held-out figures into the checkpoint, write its card, and put both where asked."""
    info = read_info(folder / CHECKPOINT)
    path = folder / "figures.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    independent = json.loads((folder / SPLIT).read_text())["folds"]
    known = bool(independent) and not all(fold["independent"] for fold in independent)
    info = replace(info, name=_name(config), metrics=figures)
    network = build(info.architecture, len(info.labels), info.settings)
    network.load_state_dict(read_weights(folder / CHECKPOINT))
    target = Path(config.out or "")
    places = [folder / CHECKPOINT]
    if target.suffix == SUFFIX:
        places.append(target)
    for place in places:
        save_checkpoint(place, info, network)
        place.with_suffix(".md").write_text(card(info, all_seen, NOT_INDEPENDENT if known else ""))
    return [f"written: {target}"] if target.suffix == SUFFIX else []

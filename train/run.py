"""One training: data, split, a network for each fold, figures, the checkpoint, its card."""

import json
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from batch_ser.errors import CheckpointError, UsageError
from batch_ser.features import front_end
from models.checkpoint import save_checkpoint
from models.device import usable_device
from models.loading import load_checkpoint, load_network
from models.network import Network
from train import metrics
from train.about import versions
from train.card import card
from train.corpora import overview
from train.data import Data, labelled, read
from train.evaluation import Predictions, predict
from train.figures import note_of, write_figures
from train.fold import Study, train_fold
from train.folder import CHECKPOINT, SPLIT, SUFFIX, claim, digest_of, fold_folders
from train.folds import Fold
from train.overrides import as_text, find_recipe
from train.recipes import Recipe
from train.splits import Split, default_split, everything, make_split
from train.start import check_experts, new_network
from train.teacher import check_teacher, find_teacher


@dataclass(frozen=True)
class TrainConfig:
    """One training, as the command line gives it."""

    data: tuple[str, ...]
    recipe: str
    out: str | None = None
    init: str | None = None
    teacher: str | None = None  # a checkpoint or a training's folder, for recipes that distil
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
        if recipe.fit == "linear" and (self.teacher or recipe.half or recipe.refit):
            raise UsageError(
                f"recipe {recipe.name}: fit=linear has no teacher, half or refit; expected a "
                "recipe with fit=gradient"
            )
        if recipe.refit and recipe.monitor != "last":
            raise UsageError(f"refit=true: found monitor={recipe.monitor}, expected monitor=last")
        if bool(recipe.distil or recipe.mimic or recipe.imitate.epochs) != bool(self.teacher):
            found = f"--teacher {self.teacher}" if self.teacher else "no --teacher"
            raise UsageError(
                f"recipe {recipe.name} has distil={recipe.distil:g}, mimic={recipe.mimic:g} and "
                f"imitate.epochs={recipe.imitate.epochs}, found {found}; expected --teacher "
                "CHECKPOINT where "
                "one of them is more than 0, and only there"
            )
        if self.teacher and not recipe.views:
            raise UsageError("views=0: found --teacher, which hears as many; expected 1 or more")
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
    with torch.random.fork_rng():
        network = _rehearse(recipe, config, data)
    teachers = _teachers(config, split, data, network, recipe)
    claim(folder, config.out or "", _content(config, recipe, data, teachers), config.restart)
    split.save(folder / SPLIT, data.utterances, data.contents)
    with tempfile.TemporaryDirectory(prefix="batch-ser-") as own, torch.random.fork_rng():
        cache = Path(config.cache or own)
        study = Study(
            data, recipe, config.init, config.seed, device, cache, Path(own), config.teacher,
            config.allow_leak, split.heard_always(),
        )  # fmt: skip
        folders = fold_folders(folder, split.names)
        found = [_fold(study, *each) for each in zip(split.folds, folders, strict=True)]
        note = note_of(split, data, config.allow_leak)
        lines = write_figures(folder, split, found, ", ".join(config.data), note) if found else []
        asked = len(split.folds) != 1 and not config.figures_only
        if asked and not (folder / CHECKPOINT).exists():
            whole = everything(data.utterances, data.contents, config.seed, recipe.valid_share)
            train_fold(study, whole, folder, _name(config))
    if (folder / CHECKPOINT).exists():
        lines += _publish(config, folder, len(split.folds) != 1, note)
    return "\n".join([*lines, f"written: {folder}"])


def _teachers(
    config: TrainConfig, split: Split, data: Data, network: Network, recipe: Recipe
) -> list[str | None]:
    """Digests of the checkpoints that will teach, all of them found and fit to."""
    if not config.teacher:
        return []
    folds = list(split.folds)
    if len(folds) != 1 and not config.figures_only:
        folds.append(everything(data.utterances, data.contents, config.seed, recipe.valid_share))
    digests = []
    for fold in folds:
        path = find_teacher(config.teacher, fold, data, config.allow_leak)
        check_teacher(path, fold.labels(data.utterances), network, recipe)
        digests.append(digest_of(str(path)))
    return digests


def _content(
    config: TrainConfig, recipe: Recipe, data: Data, teachers: list[str | None]
) -> dict[str, Any]:
    """What `config.json` says of a training."""
    return {
        "training": asdict(config),
        "recipe": recipe.stored(),
        "recordings": {"count": len(data.utterances), "digest": data.digest()},
        "init": digest_of(config.init),
        "teacher": teachers or None,
        "versions": versions(),
    }


def _rehearse(recipe: Recipe, config: TrainConfig, data: Data) -> Network:
    """Build the network and let it hear a second of silence, before anything is written.

    Raises:
        UsageError: settings of the recipe contradict each other, or `--cache` is no folder.
        CheckpointError: settings or weights do not fit the architecture.
    """
    if config.cache and Path(config.cache).is_file():
        raise UsageError(f"--cache {config.cache}: found a file, expected a folder")
    labels = len({each.label for each in data.utterances})
    corpora = len({each.corpus for each in data.utterances})
    network = new_network(recipe, labels, config.init, config.seed, corpora).eval()
    check_experts(network, recipe)
    asked = recipe.front_end
    if asked.get("rate_hz", network.rate_hz) != network.rate_hz:
        raise UsageError(f"front_end.rate_hz: {recipe.architecture} hears {network.rate_hz} Hz")
    try:
        if float(asked.get("length_s", 0)) > network.max_input_s:
            raise ValueError(f"length_s: expected at most {network.max_input_s:g}")
        hear = front_end(network.front_end, dict(network.front_end_settings) | asked)
        silence = np.zeros(network.rate_hz, np.float32)
        with torch.inference_mode():
            network(hear([silence], torch.device("cpu")))
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        told = str(error).strip().splitlines()[0]
        raise UsageError(
            f"front_end={asked} does not fit {recipe.architecture} with these settings: {told}"
        ) from error
    return network


def _fold(study: Study, fold: Fold, folder: Path) -> Predictions:
    """Train a fold unless an earlier call did, and predict its test side."""
    if not (folder / CHECKPOINT).exists():
        print(f"{fold.name}: {fold.train.sum()} train, {fold.valid.sum()} valid, "
              f"{fold.test.sum()} test", file=sys.stderr)  # fmt: skip
        train_fold(study, fold, folder, folder.name)
    try:
        checkpoint = load_checkpoint(folder / CHECKPOINT, study.device.type)
    except CheckpointError as error:
        raise UsageError(f"{error}; delete it and train again, or --restart") from error
    test = study.data.chosen(list(np.flatnonzero(fold.test)))
    found = predict(checkpoint, test, fold.name)
    print(metrics.as_line(fold.name, found.known().scores()), file=sys.stderr)
    return found


def _name(config: TrainConfig) -> str:
    return Path(config.out or "").stem


def _publish(config: TrainConfig, folder: Path, all_seen: bool, note: str) -> list[str]:
    """Put the held-out figures into the checkpoint, write its card, and put both where asked."""
    info, network = load_network(folder / CHECKPOINT)
    path = folder / "figures.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    info = replace(info, name=_name(config), metrics=figures, note=note)
    target = Path(config.out or "")
    places = [folder / CHECKPOINT]
    if target.suffix == SUFFIX:
        places.append(target)
    for place in places:
        save_checkpoint(place, info, network)
        place.with_suffix(".md").write_text(card(info, all_seen))
    return [f"written: {target}"] if target.suffix == SUFFIX else []

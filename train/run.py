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
from train import metrics
from train.data import Data, labelled, overview, read
from train.evaluation import (
    COMPARISON,
    FoldPredictions,
    card,
    note_of,
    predict_fold,
    put_beside,
    versions,
    write_figures,
)
from train.fitting import (
    encoder_corpora,
    fresh_head_init,
    init_path,
    is_calibrated,
    new_network,
    pretrained_teacher,
)
from train.fold import TrainingContext, train_fold
from train.recipes import Recipe, as_text, check_ordinary, check_together, find_recipe
from train.run_folder import CHECKPOINT, SPLIT, SUFFIX, claim, digest_of, fold_folders
from train.splits import Fold, Split, default_split, everything, make_split

NOT_CALIBRATED = (
    "confidence is not calibrated: its temperature ended at the bound of the search ({:.3f}), "
    "since scores hardly distinguish the labels of recordings that were left out"
)


@dataclass(frozen=True)
class TrainConfig:
    """One training, by the options of the command line."""

    data: tuple[str, ...]
    recipe: str
    out: str | None = None
    init: str | None = None
    fresh_head: bool = False  # of the included checkpoint nothing but Whisper's encoder is kept
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
        """The recipe with every field, and an overview of the data."""
        shown = [as_text(find_recipe(self.recipe, self.overrides))] if self.recipe else []
        if self.data:
            shown += [overview(labelled(self.data, self.labels))]
        return "\n\n".join(shown)

    def chosen_recipe(self) -> Recipe:
        """The recipe with its overrides.

        Raises:
            UsageError: there is no such recipe, or its fields contradict each other.
        """
        recipe = find_recipe(self.recipe, self.overrides)
        check_together(recipe)
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
    recipe, folder = config.chosen_recipe(), config.folder
    if config.fresh_head:
        config = replace(config, init=fresh_head_init(recipe, config.init))
    device = torch.device(usable_device(config.device))
    with torch.random.fork_rng():
        _check_networks(recipe, config)
    data = read(config.data, config.labels, config.allow_duplicates)
    check_ordinary(recipe, data.utterances, config.data)
    split = _split(config, recipe, data)
    content = _content(config, recipe, data)
    claim(folder, config.out or "", content, restart=config.restart)
    split.save(folder / SPLIT, data.utterances, data.contents)
    with tempfile.TemporaryDirectory(prefix="batch-ser-") as own, torch.random.fork_rng():
        context = TrainingContext(
            data=data,
            recipe=recipe,
            init=config.init,
            seed=config.seed,
            device=device,
            cache=Path(config.cache or own),
            scratch=Path(own),
            never_tested=split.never_tested(),
        )
        note = note_of(split, data, encoder_corpora(recipe, config.init), config.allow_leak)
        lines = _train_folds(context, config, split, note)
        if len(split.folds) != 1 and not config.figures_only:
            _train_everything(context, config)
    if (folder / CHECKPOINT).exists():
        lines += _publish(config, folder, note, all_seen=len(split.folds) != 1)
    return "\n".join([*lines, f"written: {folder}"])


def _split(config: TrainConfig, recipe: Recipe, data: Data) -> Split:
    return make_split(
        config.split or default_split(data.utterances, folds=recipe.is_quick),
        data.utterances,
        data.contents,
        config.seed,
        recipe.valid_share,
        allow_leak=config.allow_leak,
    )


def _content(config: TrainConfig, recipe: Recipe, data: Data) -> dict[str, Any]:
    """The content of `config.json`."""
    init = init_path(recipe, config.init)
    return {
        "training": asdict(config),
        "recipe": recipe.stored(),
        "recordings": {"count": len(data.utterances), "digest": data.digest()},
        "init": digest_of(str(init)) if init else None,
        "versions": versions(),
    }


def _check_networks(recipe: Recipe, config: TrainConfig) -> None:
    """Build the networks, of two labels, and score a second of silence, before data are read.

    Raises:
        UsageError: settings of the recipe contradict each other, or `--cache` is no folder.
        CheckpointError: settings or weights do not fit the architecture.
    """
    if config.cache and Path(config.cache).is_file():
        raise UsageError(f"--cache {config.cache}: found a file, expected a folder")
    network = new_network(recipe, 2, config.init, config.seed).eval()
    if recipe.distillation.epochs:
        pretrained_teacher(recipe, config.init, network.settings.predicted)
    changed = recipe.front_end
    if changed.get("rate_hz", network.rate_hz) != network.rate_hz:
        raise UsageError(f"front_end.rate_hz: {recipe.architecture} takes {network.rate_hz} Hz")
    try:
        if float(changed.get("length_s", 0)) > network.max_input_s:
            raise ValueError(f"length_s: expected at most {network.max_input_s:g}")
        features_of = front_end(network.front_end, dict(network.front_end_settings) | changed)
        silence = np.zeros(network.rate_hz, np.float32)
        with torch.inference_mode():
            network(features_of([silence], torch.device("cpu")))
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"front_end={changed} does not fit {recipe.architecture} with these settings: {reason}"
        ) from error


def _train_folds(
    context: TrainingContext, config: TrainConfig, split: Split, note: str
) -> list[str]:
    """Train every fold, and write and return the held-out figures."""
    folders = fold_folders(config.folder, split.names)
    found = [
        _fold_predictions(context, fold, folder)
        for fold, folder in zip(split.folds, folders, strict=True)
    ]
    if not found:
        return []
    init = init_path(context.recipe, config.init)
    beside = put_beside(init, found, context.device.type)
    record = beside.as_record() if beside else None
    return write_figures(config.folder, split, found, ", ".join(config.data), note, record)


def _fold_predictions(context: TrainingContext, fold: Fold, folder: Path) -> FoldPredictions:
    """Train a fold unless an earlier call did, and predict its test side."""
    if not (folder / CHECKPOINT).exists():
        print(
            f"{fold.name}: {fold.train.sum()} train, {fold.valid.sum()} valid, "
            f"{fold.test.sum()} test",
            file=sys.stderr,
        )
        train_fold(context, fold, folder, folder.name)
    try:
        checkpoint = load_checkpoint(folder / CHECKPOINT, context.device.type)
    except CheckpointError as error:
        raise UsageError(f"{error}; delete it and train again, or --restart") from error
    test = context.data.chosen(list(np.flatnonzero(fold.test)))
    found = predict_fold(checkpoint, test, fold.name)
    print(metrics.as_line(fold.name, found.plain.known().scores()), file=sys.stderr)
    return found


def _train_everything(context: TrainingContext, config: TrainConfig) -> None:
    """Train the checkpoint on all recordings, unless an earlier call did."""
    if (config.folder / CHECKPOINT).exists():
        return
    data, share = context.data, context.recipe.valid_share
    fold = everything(data.utterances, data.contents, context.seed, share)
    train_fold(context, fold, config.folder, _name(config))


def _name(config: TrainConfig) -> str:
    return Path(config.out or "").stem


def _publish(config: TrainConfig, folder: Path, note: str, *, all_seen: bool) -> list[str]:
    """Store the held-out figures in the checkpoint, write its card, and copy both to `--out`."""
    info, network = load_network(folder / CHECKPOINT)
    path = folder / "figures.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    compared = figures.pop(COMPARISON, {}).get("text", [])
    report = "\n".join(f"- {each}" for each in compared)
    info = replace(info, name=_name(config), metrics=figures, note=note, report=report)
    target = Path(config.out or "")
    places = [folder / CHECKPOINT]
    if target.suffix == SUFFIX:
        places.append(target)
    for place in places:
        save_checkpoint(place, info, network)
        place.with_suffix(".md").write_text(card(info, all_seen=all_seen))
    lines = [] if is_calibrated(info.temperature) else [NOT_CALIBRATED.format(info.temperature)]
    return [*lines, f"written: {target}"] if target.suffix == SUFFIX else lines

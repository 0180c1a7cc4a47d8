"""One training: data, split, a network for each fold, figures, the checkpoint, its card."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from batch_ser.errors import CheckpointError, UsageError
from batch_ser.features import front_end
from models.device import usable_device
from models.loading import load_checkpoint
from train import metrics
from train.data import Data, read
from train.evaluation import (
    FoldPredictions,
    note_of,
    predict_fold,
    put_beside,
    write_figures,
)
from train.fitting import (
    encoder_corpora,
    fresh_head_init,
    init_path,
    new_network,
    pretrained_teacher,
)
from train.fold import TrainingContext, train_fold
from train.head import train_head
from train.publishing import content_of, publish
from train.recipes import Recipe, check_ordinary
from train.run_folder import CHECKPOINT, SPLIT, claim, fold_folders
from train.splits import Fold, Split, default_split, everything, make_split
from train.train_config import TrainConfig


def train(config: TrainConfig) -> str:
    """Fit a checkpoint, write the run's folder, and return the figures as lines.

    Raises:
        UsageError: the data, recipe, split, labels or weights cannot be used as given.
    """
    recipe, folder = config.chosen_recipe(), config.folder
    if recipe.fit == "head":
        return train_head(config, recipe)
    if config.fresh_head:
        config = replace(config, init=fresh_head_init(recipe, config.init))
    device = torch.device(usable_device(config.device))
    with torch.random.fork_rng():
        _check_networks(recipe, config)
    data = read(config.data, config.labels, config.allow_duplicates)
    check_ordinary(recipe, data.utterances, config.data)
    split = _split(config, recipe, data)
    content = content_of(config, recipe, data)
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
        lines += publish(config, note, all_seen=len(split.folds) != 1)
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
    train_fold(context, fold, config.folder, config.name)

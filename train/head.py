"""Training of the recipe `head`: cross-validation, figures, and the checkpoint on all labels.

Nothing of it needs recordings once segments are embedded, and a fit takes milliseconds.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from batch_ser.errors import UsageError
from models.architectures import build
from models.checkpoint import CheckpointInfo, save_checkpoint
from models.expectation import NATURAL_SHARES, NEUTRAL
from models.loading import load_checkpoint, load_network
from models.network import Network
from models.scoring import Checkpoint
from train.data import Data, Utterance, about_corpora, licence_of, parse_labels, read
from train.evaluation import (
    MOVED_AND_ARCHIVE,
    MOVED_BY,
    STARTED_FROM,
    FoldPredictions,
    joined_corpora,
    note_of,
    put_beside,
    versions,
    write_figures,
)
from train.fitting import encoder_corpora, init_path, set_moved_head
from train.own_head import Embedded, OwnHead
from train.publishing import content_of, publish
from train.recipes import Recipe, check_ordinary
from train.run_folder import CHECKPOINT, SPLIT, claim
from train.splits import Split, default_split, make_split
from train.train_config import TrainConfig

FOLDS, FEWEST_SPEAKERS = 5, 3  # of the default split
START = "checkpoint that it started from"
HEAD = "head."  # of a network's tensors


def train_head(config: TrainConfig, recipe: Recipe, embedded: Embedded | None = None) -> str:
    """Move the head of `--init` towards labels, write the run's folder, and return the figures.

    `embedded` are labelled segments of an output, instead of recordings in `--data`.

    Raises:
        UsageError: the data, split or folder cannot be used as given.
        CheckpointError: `--init` has no offset head.
    """
    path = init_path(recipe, config.init)
    assert path is not None  # by default that of the included `accurate`
    checkpoint = load_checkpoint(path, "cpu")
    checkpoint.check_offset()
    if embedded is None:
        data = read(config.data, config.labels, config.allow_duplicates)
        check_ordinary(recipe, data.utterances, config.data)
    else:
        names = tuple(each.name for each in embedded.utterances)
        data = Data(embedded.utterances, names)
    split = _split(config, data)
    claim(config.folder, config.out or "", content_of(config, recipe, data), restart=config.restart)
    split.save(config.folder / SPLIT, data.utterances, data.contents)
    embedded = embedded or Embedded.of_recordings(checkpoint, data.utterances)
    own = OwnHead(checkpoint, embedded, recipe.head, _chosen(config, checkpoint, embedded))
    note = note_of(split, data, checkpoint.info.corpora, config.allow_leak, of=START)
    lines, temperature = _figures(config, own, split, note, path)
    if not config.figures_only:
        _write(config, recipe, own, path, temperature)
        lines += publish(config, note, all_seen=True)
    return "\n".join([*lines, f"written: {config.folder}"])


def _chosen(config: TrainConfig, checkpoint: Checkpoint, embedded: Embedded) -> tuple[str, ...]:
    """The labels of `--labels`, but for those of which nothing is known."""
    choice = parse_labels(config.labels)
    names = choice.names if choice else ()
    known = {*checkpoint.info.labels, *(each.label for each in embedded.utterances)}
    unknown = [name for name in names if name not in known]
    if unknown:
        print(
            f"--labels {config.labels}: left out: {', '.join(unknown)}, which neither a label nor "
            f"{checkpoint.info.name} has",
            file=sys.stderr,
        )
    return tuple(name for name in names if name in known)


def _split(config: TrainConfig, data: Data) -> Split:
    """That of `--split`; else by speakers or by files. Of very few labels none, which is stated."""

    def made(text: str) -> Split:
        leak = config.allow_leak
        return make_split(text, data.utterances, data.contents, config.seed, 0.0, allow_leak=leak)

    if config.split:
        return made(config.split)
    try:
        return made(_default(data.utterances))
    except UsageError as error:
        print(f"no held-out figures: {error}", file=sys.stderr)
        return made("none")


def _default(utterances: Sequence[Utterance]) -> str:
    """Five folds, or as many as there are speakers, if three or more; by files of unknown ones.

    Where speakers are on both sides, a moved head seems better than it is: by 6 points in a trial.
    """
    speakers = {each.speaker for each in utterances}
    if "" not in speakers and len(speakers) >= FEWEST_SPEAKERS:
        return f"speakers:{min(FOLDS, len(speakers))}"
    text = default_split(utterances, folds=True)
    files = len({each.path for each in utterances})
    return text if text.endswith(f":{FOLDS}") else f"files:{min(FOLDS, files)}"


def _figures(
    config: TrainConfig, own: OwnHead, split: Split, note: str, path: Path
) -> tuple[list[str], float]:
    """The held-out figures as lines, and the temperature of the checkpoint on all labels."""
    if not split.folds:
        return [], own.checkpoint.info.temperature
    tests = [np.flatnonzero(fold.test) for fold in split.folds]
    heads = [own.moved(np.flatnonzero(fold.train | fold.valid)) for fold in split.folds]
    pairs = list(zip(heads, tests, strict=True))
    plain, adapted = (
        [own.likelihoods(head, rows, by_archive=by) for head, rows in pairs] for by in (False, True)
    )
    temperature = own.temperature(np.concatenate(adapted), np.concatenate(tests))
    found, before = [], []
    for number, (rows, fold) in enumerate(zip(tests, split.folds, strict=True)):
        each = [own.predictions(s[number], temperature, rows, fold.name) for s in (plain, adapted)]
        found.append(FoldPredictions(*each))
        earlier = own.before(rows, fold.name)
        before.append(FoldPredictions(earlier, earlier))
    beside = put_beside(path, found, "cpu", before)
    record = beside.as_record() if beside else None
    data = ", ".join(config.data)
    lines = write_figures(config.folder, split, found, data, note, record, MOVED_AND_ARCHIVE)
    return lines, temperature


def _write(
    config: TrainConfig, recipe: Recipe, own: OwnHead, path: Path, temperature: float
) -> None:
    """The checkpoint on all labels."""
    info, network = load_network(path)
    moved = own.moved(np.arange(len(own.embedded.utterances)))
    network = with_labels(info, network, len(own.labels))
    set_moved_head(network, moved)
    corpora = about_corpora(own.embedded.utterances)
    moved_by = [each["name"] for each in corpora]
    corpora = joined_corpora(corpora, info.corpora, encoder_corpora(recipe, config.init))
    info = replace(
        info,
        name=config.name,
        labels=own.labels,
        temperature=temperature,
        natural=(NATURAL_SHARES | info.natural) if NEUTRAL in own.labels else {},
        licence=licence_of(corpora),
        corpora=corpora,
        recipe=recipe.stored() | {STARTED_FROM: info.name, MOVED_BY: moved_by},
        made_with=versions(),
        metrics={},
        note="",
        report="",
    )
    save_checkpoint(config.folder / CHECKPOINT, info, network)


def with_labels(info: CheckpointInfo, network: Network, labels: int) -> Network:
    """The network of a checkpoint with a head for so many labels, which is not fitted yet."""
    found = build(info.architecture, labels, info.settings)
    state = {
        name: value for name, value in network.state_dict().items() if not name.startswith(HEAD)
    }
    found.load_state_dict(state, strict=False)
    return found

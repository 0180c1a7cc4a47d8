"""The recipe `head`: a checkpoint's head, moved by labels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import LABELS
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import small_checkpoint
from numpy.typing import NDArray
from safetensors.torch import load_file

from batch_ser.errors import CheckpointError, UsageError
from batch_ser.results import Sums
from jobs import RunConfig, run
from models.checkpoint import read_info, save_checkpoint
from models.loading import load_checkpoint, load_network
from models.offset_head import OffsetHead
from train.fitting.labelled_head import Labelled, MovedHead, Start, move_head
from train.own_head import Embedded, OwnHead
from train.recipes import HeadSettings
from train.run import train
from train.train_config import TrainConfig

WIDTH, COUNT = 8, 4
SEEDS = st.integers(0, 500)
SHIPPED = HeadSettings()
MIT = {"name": "encoder of OpenAI's Whisper tiny.en"}
Floats = NDArray[np.float64]


def head_of(seed: int = 0) -> OffsetHead:
    """A head whose labels lie apart, with an offset of its own."""
    draw, head = torch.Generator().manual_seed(seed), OffsetHead(COUNT, WIDTH)
    means = 2 * torch.randn(COUNT, COUNT - 1, generator=draw)
    head.means.copy_(means - means.mean(0))
    head.usual.copy_(torch.randn(COUNT - 1, generator=draw))
    head.speakers.fill_(0.3)
    return head


def start_of(head: OffsetHead, labels: int = COUNT) -> Start:
    columns = [number if number < COUNT else None for number in range(labels)]
    return Start.of(head, columns, np.zeros(WIDTH), head.usual_offset())


def drawn(head: OffsetHead, n: int, seed: int, moved: Floats | float = 0.0) -> Labelled:
    """Segments as a head expects them, whose labels lie elsewhere by `moved` (labels, width)."""
    draw = np.random.default_rng(seed)
    labels = np.arange(n) % COUNT
    means = np.zeros((COUNT, WIDTH))
    means[:, : COUNT - 1] = head.means.numpy() + head.usual.numpy()
    z = (means + moved)[labels] + draw.standard_normal((n, WIDTH))
    speakers = draw.integers(0, 5, n)
    z += 0.3 * draw.standard_normal((5, WIDTH))[speakers]
    return Labelled(z, labels, speakers, np.full(n, 3.0), np.ones(n))


def scores(moved: MovedHead, labelled: Labelled) -> Floats:
    """Log-likelihoods up to what all labels share."""
    found = moved.head.log_likelihoods(
        moved.embed(labelled.embeddings), labelled.durations_s, moved.head.usual_offset()
    )
    return np.asarray(found - found.mean(1, keepdims=True))


def accuracy(predicted: NDArray[np.int64], labelled: Labelled) -> float:
    return float((predicted == labelled.labels).mean())


@given(seed=SEEDS)
@settings(max_examples=20)
def test_scores_are_those_of_gaussians_around_the_means(seed: int) -> None:
    """Turning embeddings, so that the first numbers hold all, loses nothing."""
    head, labelled = head_of(seed), drawn(head_of(seed), 60, seed)
    moved = move_head(head, labelled, start_of(head), SHIPPED)
    z, means = moved.embed(labelled.embeddings), np.zeros((COUNT, WIDTH))
    means[:, : COUNT - 1] = moved.head.means.numpy() + moved.head.usual.numpy()
    noise = 1 + float(moved.head.short_s) / labelled.durations_s
    noise += float(moved.head.conditions)
    distances = np.square(z[:, None] - means).sum(2) / noise[:, None]
    expected = -0.5 * distances
    expected -= expected.mean(1, keepdims=True)
    assert np.allclose(scores(moved, labelled), expected, atol=1e-3)


@given(seed=SEEDS)
@settings(max_examples=10)
def test_labels_as_the_head_expects_them_hardly_move_it(seed: int) -> None:
    head = head_of(seed)
    labelled = drawn(head, 40, seed)
    moved = move_head(head, labelled, start_of(head), SHIPPED)
    other = drawn(head, 400, seed + 1)
    before = head.log_likelihoods(other.embeddings, other.durations_s, head.usual_offset())
    assert accuracy(scores(moved, other).argmax(1), other) > accuracy(before.argmax(1), other) - 0.1


def test_many_labels_decide() -> None:
    """Where the labels of an archive lie elsewhere, many labels find them, and few move there."""
    head, shift = head_of(), np.random.default_rng(7).normal(0, 2.5, (COUNT, WIDTH))
    judged = drawn(head, 2000, 1, shift)
    before = head.log_likelihoods(judged.embeddings, judged.durations_s, head.usual_offset())
    found = [accuracy(before.argmax(1), judged)]
    for n in (20, 200, 2000):
        moved = move_head(head, drawn(head, n, 2, shift), start_of(head), SHIPPED)
        found.append(accuracy(scores(moved, judged).argmax(1), judged))
    assert found[0] < 0.6
    assert found == sorted(found)
    assert found[-1] > 0.95


@given(seed=SEEDS)
@settings(max_examples=20)
def test_a_weight_of_two_is_a_segment_that_is_there_twice(seed: int) -> None:
    """With all weights 2 or 1: the mean is 1 in `Labelled`, so all counts are scaled alike."""
    head = head_of(seed)
    one = drawn(head, 40, seed)
    weights = np.where(np.arange(40) < 20, 2.0, 1.0)
    twice = one.rows(np.concatenate([np.arange(40), np.arange(20)]))
    unscaled = Labelled(one.embeddings, one.labels, one.speakers, one.durations_s, weights)
    strict = replace(SHIPPED, covariance_strength=1e9)  # whose strength is in segments
    a = move_head(head, unscaled, start_of(head), strict)
    b = move_head(head, twice, start_of(head), strict)
    assert np.allclose(scores(a, one), scores(b, one), atol=1e-3)


@given(seed=SEEDS, order=st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_the_segments_does_not_matter(seed: int, order: Any) -> None:
    head, one = head_of(seed), drawn(head_of(seed), 50, seed)
    rows = list(range(50))
    order.shuffle(rows)
    a = move_head(head, one, start_of(head), SHIPPED)
    b = move_head(head, one.rows(np.array(rows)), start_of(head), SHIPPED)
    assert np.allclose(scores(a, one), scores(b, one), atol=1e-3)


def test_a_new_label_gets_a_mean_of_its_own() -> None:
    head, labelled = head_of(), drawn(head_of(), 80, 3)
    place = np.zeros(WIDTH)
    place[-1] = 6.0  # where the head has no label
    new = labelled.labels == 0
    labelled.embeddings[new] += place
    labels = np.where(new, COUNT, labelled.labels)
    relabelled = Labelled(
        labelled.embeddings,
        labels,
        labelled.speakers,
        labelled.durations_s,
        labelled.weights,
    )
    moved = move_head(head, relabelled, start_of(head, COUNT + 1), SHIPPED)
    predicted = scores(moved, relabelled).argmax(1)
    assert (predicted[new] == COUNT).mean() > 0.95
    assert moved.head.means.shape == (COUNT + 1, COUNT)


def test_a_label_that_nobody_gave_stays_where_it_was() -> None:
    """Its mean and that of the archive's offset keep their distance, within what labels moved."""
    head = head_of()
    labelled = drawn(head, 300, 3)
    present = labelled.rows(np.flatnonzero(labelled.labels != 2))
    moved = move_head(head, present, start_of(head), SHIPPED)
    absent = drawn(head, 400, 4)
    mine = absent.labels == 2
    recall = (scores(moved, absent).argmax(1)[mine] == 2).mean()
    before = head.log_likelihoods(absent.embeddings, absent.durations_s, head.usual_offset())
    assert recall > (before.argmax(1)[mine] == 2).mean() - 0.1


# trainings on recordings


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with an offset head."""
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


@pytest.fixture(scope="module")
def trained(start: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    out = tmp_path_factory.mktemp("head") / "mine.safetensors"
    config = TrainConfig((f"ravdess:{tree}",), "head", str(out), init=str(start))
    train(config)
    return config


def test_a_training_writes_figures_and_a_checkpoint(trained: TrainConfig, start: Path) -> None:
    folder = trained.folder
    assert {"metrics.json", "report.txt", "split.json", "config.json"} <= {
        each.name for each in folder.iterdir()
    }
    info, before = read_info(Path(str(trained.out))), read_info(start)
    assert info.labels == before.labels
    assert info.recipe["fit"] == "head"
    assert [each["name"] for each in info.corpora] == ["RAVDESS", "encoder in start.safetensors"]
    assert "CC BY-NC-SA" in info.licence
    figures = json.loads((folder / "metrics.json").read_text())
    assert figures["comparison"]["name"] == before.name
    card = Path(str(trained.out)).with_suffix(".md").read_text()
    assert "beside" in card
    assert f"started as that of {before.name} and was moved by labels of RAVDESS" in card
    assert "--fresh-head" in card  # what weights of other licences take
    assert "validated" not in card


def test_the_encoder_stays_and_the_head_moves(trained: TrainConfig, start: Path) -> None:
    before, after = load_file(start), load_file(str(trained.out))
    for name, tensor in before.items():
        same = torch.equal(tensor.float(), after[name].float())
        assert same == name.startswith(("encoder.", "shift", "scale")) or name in (
            "head.conditions",
            "head.speakers",
            "head.mixture",
            "head.short_s",
        ), name


def test_the_same_command_does_the_same_again(trained: TrainConfig) -> None:
    before = Path(str(trained.out)).read_bytes()
    train(trained)
    assert Path(str(trained.out)).read_bytes() == before


def restated(start: Path, path: Path, **changes: Any) -> Path:
    """The checkpoint with other metadata."""
    info, network = load_network(start)
    save_checkpoint(path, replace(info, **changes), network)
    return path


def test_what_it_rests_on_is_never_dropped(start: Path, tree: Path, tmp_path: Path) -> None:
    """Of an earlier training by labels of the same name, and of a distilled encoder."""
    earlier = (
        {"name": "RAVDESS", "recordings": 1440, "speakers": 24, "licence": "a", "source": "b"},
        {"name": MIT["name"], "licence": "MIT", "source": "c", "encoder": True},
    )
    distilled = {"name": "student", "fit": "lda", "distillation": {"epochs": 3}}
    before = restated(start, tmp_path / "b.safetensors", corpora=earlier, recipe=distilled)
    out = tmp_path / "mine.safetensors"
    train(TrainConfig((f"ravdess:{tree}",), "head", str(out), init=str(before), split="none"))
    info = read_info(out)
    own, *rest = info.corpora
    assert own["recordings"] == len(list(tree.rglob("*.wav")))
    assert rest == [each | {"encoder": True} for each in earlier]
    assert info.licence.count("RAVDESS") == 1
    again = tmp_path / "again.safetensors"
    train(TrainConfig((f"ravdess:{tree}",), "head", str(again), init=str(out), split="none"))
    assert read_info(again).corpora == info.corpora  # the same labels once more


def test_its_card_is_true(start: Path, tree: Path, tmp_path: Path) -> None:
    """Of what it was fitted on, its offset, its confidence, and the way to a commercial use."""
    about = {"recordings": 9, "speakers": 3, "licence": "CC BY-NC-SA 4.0", "source": "its authors"}
    names = ("RAVDESS", "speechocean762")
    corpora = tuple({"name": name, **about} for name in names)
    labels = ("neutral", *LABELS[1:])
    before = restated(start, tmp_path / "before.safetensors", corpora=corpora, labels=labels)

    def card(name: str, **options: Any) -> str:
        out = tmp_path / name
        printed = train(
            TrainConfig((f"ravdess:{tree}",), "head", str(out), init=str(before), **options)
        )
        return " ".join(f"{out.with_suffix('.md').read_text()} {printed}".split())

    text = card("mine.safetensors")
    assert "was moved by labels of RAVDESS" in text
    assert "with the usual offset (`--adapt none`), which labels moved" in text
    assert "ordinary speech, which sets the usual offset of the checkpoint that was moved" in text
    assert "a share of 0.4 for its offset" in text
    assert "near that of the checkpoint that was moved" in text
    assert "`batch-ser train --recipe accurate --fresh-head`" in text
    note = "the checkpoint that it started from was trained in another training on RAVDESS"
    assert text.count(note) == 2  # in the card, and printed
    without = card("none.safetensors", split="none")
    assert "was moved by labels of RAVDESS" in without
    assert "fitted on the recordings of the checkpoint that was moved" in without


def test_a_label_of_which_nothing_is_known_is_left_out(
    start: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "few.safetensors"
    labels = "neutral,angry,bored"
    train(TrainConfig((f"ravdess:{tree}",), "head", str(out), init=str(start), labels=labels))
    assert read_info(out).labels == ("neutral", "angry")
    assert "left out: bored" in capsys.readouterr().err


def test_figures_expect_what_a_job_expects(start: Path) -> None:
    """Where labels were merged, too: an archive is not all neutral."""
    checkpoint = load_checkpoint(start)
    own = ("neutral", "good", "bad")
    for expect, shares in (("natural", [0.4, 0.3, 0.3]), ("balanced", [1 / 3] * 3)):
        embedded = Embedded((), np.zeros((0, 16)), np.zeros(0), Sums(np.zeros(16)), expect)
        found = OwnHead(checkpoint, embedded, SHIPPED, own).shares
        assert np.allclose(found, shares)


def test_a_job_scores_with_it(trained: TrainConfig, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.parquet"
    report = run(RunConfig((str(archive),), str(out), str(trained.out), engine="inline"))
    assert report.exit_code == 0
    rows = pd.read_parquet(out)
    assert np.allclose(rows[[f"p_{each}" for each in LABELS]].sum(axis=1), 1, atol=1e-4)


def test_labels_are_chosen_and_added(start: Path, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "few.safetensors"
    labels = "neutral,loud=happy+angry"
    train(TrainConfig((f"ravdess:{tree}",), "head", str(out), init=str(start), labels=labels))
    assert read_info(out).labels == ("neutral", "loud")
    assert load_checkpoint(out).expectation("balanced").prior.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"init": "nowhere.safetensors"}, CheckpointError, "there is no such checkpoint"),
        ({"embeddings": "x.parquet", "recipe": "vgg"}, UsageError, "expected --recipe head"),
        ({"overrides": ("head.label_variance=0",)}, UsageError, "expected more than 0"),
        ({"fresh_head": True}, UsageError, "which moves the head of a checkpoint"),
    ],
)
def test_what_cannot_be_trained(
    change: dict[str, Any],
    error: type[Exception],
    message: str,
    start: Path,
    tree: Path,
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"data": (f"ravdess:{tree}",), "recipe": "head", "init": str(start)}
    with pytest.raises(error, match=message):
        train(TrainConfig(out=str(tmp_path / "out"), **options | change))


def test_a_head_without_an_offset_is_refused(tree: Path, tmp_path: Path) -> None:
    plain = small_checkpoint(tmp_path / "plain.safetensors", "whisper", LABELS)
    with pytest.raises(CheckpointError, match="no offset head"):
        train(TrainConfig((f"ravdess:{tree}",), "head", str(tmp_path / "out"), init=str(plain)))


def test_ordinary_speech_has_no_label_to_move_a_head(
    start: Path, tree: Path, archive: Path, tmp_path: Path
) -> None:
    data = (f"ravdess:{tree}", f"ordinary:{archive / 'day1'}")
    with pytest.raises(UsageError, match="serve fit=lda alone"):
        train(TrainConfig(data, "head", str(tmp_path / "out"), init=str(start)))


def test_folds_are_by_speaker_from_three_on(trained: TrainConfig) -> None:
    split = json.loads((trained.folder / "split.json").read_text())
    assert split["split"] == "speakers:4"
    assert all(fold["independent"] for fold in split["folds"])


def test_an_address_is_no_folder_for_a_training(start: Path, tree: Path) -> None:
    out = "s3://bucket/mine.safetensors"
    with pytest.raises(UsageError, match="expected a folder of this machine"):
        train(TrainConfig((f"ravdess:{tree}",), "head", out, init=str(start)))

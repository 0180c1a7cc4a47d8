"""Training: the corpus, its folds, the head, and that a checkpoint is what was fitted."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import Runner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from batch_ser.audio import Samples, load
from batch_ser.errors import UsageError
from models import load_checkpoint
from models.whisper import WhisperClassifier
from train import metrics
from train.corpora import parse_ravdess, read_corpus
from train.fit import fit_head, set_head
from train.recipes import RECIPES
from train.run import TrainConfig, train
from train.splits import read_folds


def test_ravdess_names() -> None:
    found = parse_ravdess(Path("Actor_12/03-01-06-02-01-02-12.wav"))
    assert found
    assert (found.label, found.speaker, found.sex) == ("fearful", "ravdess-12", "female")
    assert (found.language, found.intensity) == ("en", "strong")
    for other in ("03-02-06-02-01-02-12.wav", "03-01-09-01-01-01-01.wav", "notes.wav"):
        assert parse_ravdess(Path(other)) is None  # song, no such emotion, not of the corpus


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """A tree named like RAVDESS: four actors, three emotions, real speech at three pitches."""
    root = tmp_path_factory.mktemp("ravdess")
    for actor in range(1, 5):
        (root / f"Actor_{actor:02}").mkdir()
        for number, emotion in enumerate((1, 3, 5)):
            for take in (1, 2):
                start = (actor * 3 + take) * 16_000
                samples = speech[start : start + 16_000] * (0.1 + 0.4 * number)
                name = f"03-01-{emotion:02}-01-01-{take:02}-{actor:02}.wav"
                path = root / f"Actor_{actor:02}" / name
                soundfile.write(path, samples, 8_000 + 4_000 * number)
    return root


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with random weights of the true size, so that the recipe runs as it is."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("encoder") / "encoder.safetensors"
    save_file(WhisperClassifier(8).encoder.state_dict(), path)
    return path


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    entries = [{"test_actors": [1, 2]}, {"test_actors": [3, 4]}]
    (tmp_path / "folds.json").write_text(json.dumps({"ravdess": {"folds": entries}}))
    return tmp_path / "folds.json"


def test_a_training_from_folder_to_scores(
    tree: Path, encoder: Path, folds: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    """The command as the README gives it; the checkpoint then scores as it was fitted to."""
    out = tmp_path / "mine.safetensors"
    done = batch_ser(
        *("train", "--recipe", "whisper-frozen", "--data", f"ravdess:{tree}"),
        *("--init", encoder, "--split", f"emobox:{folds}", "--out", out),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("UAR") == 3  # two folds and their mean
    assert all(word in done.stdout for word in ("WA", "macro F1", "fold 2", "mean"))
    checkpoint = load_checkpoint(out)
    assert checkpoint.info.labels == ("neutral", "happy", "angry")
    assert checkpoint.info.temperature > 0
    assert "CC BY-NC-SA" in checkpoint.info.licence
    assert "what to expect" in out.with_suffix(".md").read_text().lower()
    _, utterances = read_corpus(f"ravdess:{tree}")
    scores = [checkpoint.score(load(str(each.path), 16_000), 16_000) for each in utterances]
    best = [checkpoint.info.labels[int(score.argmax())] for score in scores]
    assert metrics.scores([each.label for each in utterances], best)["UAR"] > 0.8


def test_features_are_cached_by_all_that_they_depend_on(
    tree: Path, encoder: Path, folds: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    config = TrainConfig(
        (f"ravdess:{tree}",), "whisper-frozen", str(tmp_path / "a.safetensors"),
        str(encoder), f"emobox:{folds}:1", cache=str(cache),
    )  # fmt: skip
    first = train(config)
    kept = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(kept) == len(RECIPES["whisper-frozen"].speeds)
    assert train(config) == first
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == kept


def test_folds(folds: Path, shared: Path) -> None:
    _, utterances = read_corpus(f"ravdess:{shared / 'data' / 'ravdess'}")
    published = read_folds(
        f"emobox:{shared / 'benchmarks' / 'emobox_folds.json'}", "ravdess", utterances
    )
    assert len(utterances) == 1440
    assert np.array_equal(sum(fold.test.astype(int) for fold in published), np.ones(1440))
    for fold in published:  # no speaker on both sides
        sides = [{u.speaker for u, t in zip(utterances, fold.test, strict=True) if t is side}
                 for side in (np.True_, np.False_)]  # fmt: skip
        assert not sides[0] & sides[1]
    assert [fold.name for fold in read_folds(f"emobox:{folds}:2", "ravdess", utterances)] == [
        "fold 2"
    ]
    assert read_folds("none", "ravdess", utterances) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"data": ("ravdess:nowhere",)}, "there is no folder"),
        ({"data": ("tapes:.",)}, "expected KIND:PATH with KIND one of ravdess"),
        ({"recipe": "magic"}, "expected one of whisper-frozen"),
        ({"out": None}, "ending in .safetensors"),
        ({"split": "random"}, "expected emobox:FILE"),
        ({"split": "emobox:none.json"}, "cannot be read"),
        ({"split": "FOLDS:9"}, "expected 1 to 2"),
        ({"init": "none.safetensors"}, "there are no weights"),
    ],
)
def test_trainings_that_cannot_start(
    tree: Path, encoder: Path, folds: Path, change: dict[str, object], says: str
) -> None:
    settings: dict[str, object] = {
        "data": (f"ravdess:{tree}",),
        "recipe": "whisper-frozen",
        "out": "x.safetensors",
        "init": str(encoder),
        "split": f"emobox:{folds}",
    }
    settings |= {k: v.replace("FOLDS", f"emobox:{folds}") if isinstance(v, str) else v
                 for k, v in change.items()}  # fmt: skip
    with pytest.raises(UsageError, match=says):
        train(TrainConfig(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", [2, 3])
def test_the_network_s_head_is_the_one_that_was_fitted(labels: int) -> None:
    rng = np.random.default_rng(0)
    network = WhisperClassifier(labels)
    width = len(network.shift)
    truth = np.arange(30) % labels
    embeddings = rng.standard_normal((1, 30, width)).astype(np.float32)
    embeddings += truth[:, None]
    head = fit_head(embeddings, truth, RECIPES["whisper-frozen"])
    set_head(network, head)
    with torch.inference_mode():
        rows = torch.from_numpy(embeddings[0])
        found = network.head((rows - network.shift) * network.scale).numpy()
    assert np.allclose(found, head.logits(embeddings[0]), atol=1e-4)
    assert (found.argmax(1) == truth).all()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_uar_is_the_mean_recall_of_the_labels_that_occur(pairs: list[tuple[str, str]]) -> None:
    truth, predicted = zip(*pairs, strict=True)
    recalls = [
        np.mean([p == label for t, p in pairs if t == label]) for label in sorted(set(truth))
    ]
    found = metrics.scores(truth, [p if p in truth else truth[0] for p in predicted])
    if set(predicted) <= set(truth):
        assert found["UAR"] == pytest.approx(np.mean(recalls))
        assert found["WA"] == pytest.approx(np.mean([t == p for t, p in pairs]))


def test_show_prints_the_corpus(tree: Path, batch_ser: Runner) -> None:
    done = batch_ser("train", "--recipe", "whisper-frozen", "--data", f"ravdess:{tree}", "--show")
    assert done.returncode == 0
    assert "24 recordings" in done.stdout
    assert "label: angry 8, happy 8, neutral 8" in done.stdout

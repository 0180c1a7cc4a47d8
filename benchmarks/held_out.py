"""What is measured of a recipe for `accuracy.py`: every training is held out from its judges.

Trainings and figures stay in `.evaluate/`: a call that was stopped goes on.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conditions import conditions
from trained import ASED, EMOBOX, RANDOM, RAVDESS, TUREV, read, trained

from batch_ser.audio import load
from batch_ser.features import whisper_log_mel
from batch_ser.samples import Samples
from models import Checkpoint, load_checkpoint
from models.loading import load_network
from train.data import Data
from train.data import read as read_corpora
from train.evaluation import Predictions, measure, predict
from train.folder import CHECKPOINT, fold_folders
from train.folds import Fold
from train.splits import make_split
from train.utterances import Utterance

WORK = Path(".evaluate")
CACHE = WORK / "cache"
EVERY = (RAVDESS, ASED, TUREV)
CORPORA = {"ravdess": "RAVDESS", "ased": "ASED", "turev": "TurEV-DB"}
TEACHERS = {"fast": "accurate"}
# other settings where the recipe's own would take hours: for known voices, for unknown corpora
KNOWN = {"fast": ("imitate.epochs=30", "imitate.shared=0", "imitate.views=1")}
UNKNOWN = {"accurate": ("views=4",), "fast": ("imitate.epochs=10", "imitate.views=1")}
SEEDS = range(5)
CONDITIONS = hashlib.sha256(Path(conditions.__code__.co_filename).read_bytes()).hexdigest()[:8]
SPEECH = Path(__file__).parent.parent / "examples" / "calls" / "announcement.opus"
Figures = dict[str, Any]


def shipped_training(recipe: str) -> Path:
    """EmoBox's folds of three corpora at once, and then the checkpoint on everything: its folder.

    A fold's training holds out four of RAVDESS's speakers and the test sides of both others.
    """
    out = WORK / f"{recipe}.safetensors"
    return trained(out, CACHE, EVERY, recipe, split=EMOBOX, teacher=teacher(recipe, ".safetensors"))


def teacher(recipe: str, which: str) -> str | None:
    """Of whom a student learns: the same training of its teacher, on the same split."""
    return str(WORK / f"{TEACHERS[recipe]}{which}") if recipe in TEACHERS else None


def known_voices(recipe: str) -> list[float]:
    """Accuracy on random tenths of RAVDESS, trained on RAVDESS alone, one for each seed."""
    found = []
    for seed in SEEDS:
        out = WORK / f"{recipe}-random" / str(seed)
        folder = trained(
            out, CACHE, (RAVDESS,), recipe, split=RANDOM, seed=seed,
            teacher=teacher(recipe, f"-random/{seed}"), overrides=KNOWN.get(recipe, ()),
        )  # fmt: skip
        found.append(float(read(folder / "figures.json")["random"]["WA"]))
    return found


def unknown_folder(recipe: str, **more: Any) -> Path:
    """Trainings on two corpora each, judged on the third."""
    out = WORK / f"{recipe}-cross"
    more = more or {"overrides": UNKNOWN.get(recipe, ())}
    more |= {"teacher": teacher(recipe, "-cross"), "figures_only": True}
    return trained(out, CACHE, EVERY, recipe, split="cross", **more)


def unknown_corpora(recipe: str, **more: Any) -> dict[str, float]:
    """UAR on each corpus by a training on the other two, and their mean; shared labels."""
    figures = read(unknown_folder(recipe, **more) / "figures.json")
    return {name: each["UAR"] for name, each in figures.items()}


def under_conditions(folder: Path) -> dict[str, dict[str, Figures]]:
    """Of each corpus, condition by condition, what `measure` finds on the folds' test sides.

    ASED and TurEV-DB have one test side: the first fold's checkpoint is judged on it.
    """
    data = read_corpora(EVERY, None)
    split = make_split(f"saved:{folder / 'split.json'}", data.utterances, data.contents, 0, 0.1)
    folds = list(zip(split.folds, fold_folders(folder, split.names), strict=True))
    return {
        corpus: _measured(data, corpus, folds if corpus == "ravdess" else folds[:1])
        for corpus in CORPORA
    }


def _measured(data: Data, corpus: str, folds: list[tuple[Fold, Path]]) -> dict[str, Figures]:
    """Each condition's figures on a corpus's test recordings, each judged by its own fold."""
    together: dict[str, Predictions] = {}
    mine = np.array([each.corpus == corpus for each in data.utterances])
    for fold, folder in folds:
        test = data.chosen(list(np.flatnonzero(fold.test & mine)))
        for name, found in heard_by(folder, corpus, test, fold.name).items():
            together[name] = together[name] + found if name in together else found
    return {name: measure(one, one.shared()) for name, one in together.items()}


def heard_by(folder: Path, corpus: str, test: list[Utterance], fold: str) -> dict[str, Predictions]:
    """What a fold's checkpoint says of a corpus's test side under each condition; kept."""
    checkpoint = load_checkpoint(folder / CHECKPOINT)
    found = {}
    for name, hear in conditions(test).items():
        kept = WORK / "conditions" / checkpoint.digest[:12] / CONDITIONS / corpus / f"{name}.npy"
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, predict(checkpoint, test, fold, hear).probabilities)
        scores = np.load(kept)
        labels = checkpoint.info.labels
        found[name] = Predictions(tuple(test), labels, scores, (fold,) * len(test))
    return found


def seconds_per_hour(checkpoint: Checkpoint) -> float:
    """Seconds of one core for an hour of audio, front end included: 4 s, in batches of 8."""
    batch = eight_of_four_seconds()
    return timed(lambda: checkpoint.score_batch(batch))


def encoder_seconds_per_hour() -> float:
    """The same of Whisper tiny's encoder alone, its log-mel given."""
    _, network = load_network(WORK / "accurate.safetensors")
    features = whisper_log_mel(eight_of_four_seconds(), torch.device("cpu"), level=-4.3)
    return timed(lambda: network.encoder(features))


def eight_of_four_seconds() -> list[Samples]:
    speech = load(str(SPEECH), 16_000)
    return [speech[start : start + 64_000] for start in range(0, 128_000, 16_000)]


def timed(work: Callable[[], object]) -> float:
    """Seconds of one core for an hour, from the median of some calls with 32 s."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    with torch.inference_mode():
        for _ in range(15):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    torch.set_num_threads(threads)
    return float(np.median(times)) * 3600 / 32

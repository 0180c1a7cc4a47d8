"""How good the shipped checkpoints are on what their heads never met: `make evaluate`.

Of each, the encoder as it is shipped, and heads fitted with corpora, languages or speakers left
out (heads.py). With `ship NAME FILE`, a checkpoint that `train` made goes into models/checkpoints/
with its figures and card, and what it scores is stored for tests/test_shipped.py.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from calls import on_calls
from heads import CORPORA, Heads
from left_out import (
    Judged,
    balanced,
    calibration,
    chance,
    folds,
    left_out,
    ordinary,
    under_conditions,
)
from mixtures import nine_tenths_neutral, one_emotion
from results import write_section
from trained import DATA, require_corpora

from batch_ser.audio import Samples, load
from batch_ser.features import whisper_log_mel
from models import Checkpoint, load_checkpoint
from models.checkpoint import read_weights, save_checkpoint
from models.loading import SHIPPED, load_network
from models.whisper import WhisperClassifier
from train.data import load_utterance, read_data
from train.evaluation import card

RECIPES = ("accurate", "fast")
STORED = Path(__file__).parent.parent / "tests" / "shipped"
SPEECH = Path(__file__).parent.parent / "examples" / "calls" / "announcement.opus"
ENCODER = DATA.parent / "weights" / "whisper_tiny_en_encoder.safetensors"
REMEMBERED = 16  # recordings of each corpus
WANTED = {
    "accurate": ("38, 44, 50, 54", "70; 85", "0.97, 0.94; 85, 45", "3; 8", "75, 82", "0.6"),
    "fast": ("34, 39, 46, 49", "65; 80", "0.94, 0.90; 80, 40", "4; 10", "67, 74", "0.05"),
}
Table = list[str]


def report(recipe: str, path: Path) -> Table:
    """All figures of a checkpoint, as Markdown: ordinary speech first."""
    heads = Heads(recipe, path)
    judged = left_out(heads)
    ratio = seconds_per_hour(load_checkpoint(path)) / whole_encoder_seconds_per_hour()
    return [
        *summary(recipe, heads, judged, ratio),
        "",
        *by_corpus(judged),
        "",
        *mixtures(judged),
        "",
        *emotions(judged),
    ]


def summary(recipe: str, heads: Heads, judged: dict[str, Judged], ratio: float) -> Table:
    """What was set out for, and what was reached."""
    wanted, found = WANTED[recipe], balanced(judged)
    ways = list(found["ravdess"])
    mean = {way: np.mean([each[way] for each in found.values()]) for way in ways}
    spoken, calls, lines = ordinary(heads), on_calls(heads), under_conditions(heads, judged)
    clean = lines["as it is"]["UAR"]
    lost = {name: clean - each["UAR"] for name, each in lines.items()}
    codecs = ", ".join(f"{n[11:]} {v:.1f}" for n, v in lost.items() if n.startswith("telephone"))
    noise = ", ".join(f"{n} {v:.1f}" for n, v in lost.items() if "10 dB" in n)
    lengths = "; ".join(
        f"{n} {v['UAR']:.1f} (error {v['error']:.2f})" for n, v in lines.items() if " s" in n[-2:]
    )
    own, speaker = (np.mean(each) for each in folds(heads).values())
    default = calls["default"]
    rows = {
        "ordinary speech called neutral or calm: none, default": (
            "; ".join(f"{n} {e['none']:.0f}, {e['default']:.0f}" for n, e in spoken.items()),
            wanted[1],
        ),
        "60 composed calls: AUC of calls, of turns; neutral turns called neutral or calm, angry "
        "ones angry (default)": (
            f"{default['auc_calls']:.2f}, {default['auc_turns']:.2f}; "
            f"{100 * default['neutral_turns']:.0f}, {100 * default['angry_turns']:.0f} "
            f"(none: {calls['none']['auc_calls']:.2f}, {calls['none']['auc_turns']:.2f})",
            wanted[2],
        ),
        "a corpus left out, balanced, mean UAR of four: none with the offset of ordinary speech, "
        "of training; by archive; by speaker": (
            ", ".join(f"{mean[way]:.1f}" for way in ways[:4]),
            wanted[0],
        ),
        "points of UAR by archive lost to telephone codecs; to noise at 10 dB": (
            f"{codecs}; {noise}",
            wanted[3],
        ),
        "cut and joined, UAR by archive": (f"as it is {clean:.1f}; {lengths}", "reported"),
        "RAVDESS, six folds, balanced: own offset, by speaker": (
            f"{own:.1f}, {speaker:.1f}",
            wanted[4],
        ),
        "front end and network, against the whole Whisper-tiny encoder": (
            f"{ratio:.3f}",
            wanted[5],
        ),
    }
    body = [f"| {title} | {value} | {target} |" for title, (value, target) in rows.items()]
    return ["| measure, in percent | reached | set out for |", "|---|---|---|", *body]


def by_corpus(judged: dict[str, Judged]) -> Table:
    """UAR, calibration and Brier score of every corpus left out."""
    found = balanced(judged)
    ways = list(found["ravdess"])
    rows = [
        f"| left out | {' | '.join(ways)} | chance | default: calibration error | Brier score, "
        "of the prior |",
        "|---" * (len(ways) + 4) + "|",
    ]
    for corpus, each in judged.items():
        figures = calibration(each)
        values = " | ".join(f"{found[corpus][way]:.1f}" for way in ways)
        rows.append(
            f"| {CORPORA[corpus]} | {values} | {chance(each):.1f} | {figures['error']:.3f} | "
            f"{figures['brier']:.2f}, {figures['brier of the prior']:.2f} |"
        )
    return rows


def mixtures(judged: dict[str, Judged]) -> Table:
    """Archives that are nine tenths neutral."""
    rows = ["| nine tenths neutral, UAR | none | default |", "|---|---|---|"]
    for name, (none, default) in nine_tenths_neutral(judged).items():
        rows.append(f"| {name} | {none:.1f} | {default:.1f} |")
    return rows


def emotions(judged: dict[str, Judged]) -> Table:
    """Archives of one emotion throughout: the program cannot know."""
    rows = [
        "| one emotion throughout, recall | none | default | `--expect LABEL=0.9` |",
        "|---|---|---|---|",
    ]
    for label, each in one_emotion(judged).items():
        rows.append(f"| {label} | {' | '.join(f'{value:.0f}' for value in each.values())} |")
    return rows


def ship(recipe: str, made: Path) -> None:
    """A trained checkpoint with its figures into the package, its card, and what it scores."""
    found = balanced(left_out(Heads(recipe, made)))
    metrics = {
        f"{CORPORA[name]} left out": {"UAR": each["by archive"] / 100}
        for name, each in found.items()
    }
    mean = float(np.mean([each["UAR"] for each in metrics.values()]))
    metrics["mean of corpora left out, by archive"] = {"UAR": mean}
    info, network = load_network(made)
    info = replace(info, name=recipe, metrics=metrics, report="\n".join(report(recipe, made)))
    target = SHIPPED / f"{recipe}.safetensors"
    save_checkpoint(target, info, network)
    target.with_suffix(".md").write_text(card(info, all_seen=True))
    remember(recipe)


def remember(name: str) -> None:
    """What a shipped checkpoint scores of a few recordings, for tests/test_shipped.py."""
    checkpoint = load_checkpoint(name)
    draw = np.random.default_rng(0)
    chosen = [
        each
        for kind in CORPORA
        for each in draw.choice(
            np.array(read_data([f"{kind}:{DATA / kind}"]), object), REMEMBERED, replace=False
        )
    ]
    rate_hz = checkpoint.info.rate_hz
    samples = [load_utterance(each, rate_hz) for each in chosen]
    scores = checkpoint.score_all(samples, expect="balanced")
    files = [each.path.relative_to(DATA).as_posix() for each in chosen]
    stored = {
        "sha256": checkpoint.digest,
        "labels": checkpoint.info.labels,
        "truth": [each.label for each in chosen],
        "recordings": {
            file: [round(float(p), 5) for p in row] for file, row in zip(files, scores, strict=True)
        },
    }
    STORED.mkdir(parents=True, exist_ok=True)
    (STORED / f"{name}.json").write_text(json.dumps(stored, indent=1) + "\n")


def seconds_per_hour(checkpoint: Checkpoint) -> float:
    """Seconds of one core for an hour of audio, front end included: 4 s, in batches of 8."""
    batch = eight_of_four_seconds()
    return timed(lambda: checkpoint.score_all(batch))


def whole_encoder_seconds_per_hour() -> float:
    """The same of all layers of Whisper tiny's encoder alone, its log-mel given."""
    encoder = WhisperClassifier(8).eval().encoder
    encoder.load_state_dict(read_weights(ENCODER))
    features = whisper_log_mel(eight_of_four_seconds(), torch.device("cpu"), level=-4.3)
    return timed(lambda: encoder(features))


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


def main() -> None:
    require_corpora()
    if sys.argv[1:2] == ["ship"]:
        ship(sys.argv[2], Path(sys.argv[3]))
        return
    for recipe in RECIPES:
        write_section(
            f"The checkpoint {recipe}",
            "make evaluate",
            report(recipe, SHIPPED / f"{recipe}.safetensors"),
        )


if __name__ == "__main__":
    main()

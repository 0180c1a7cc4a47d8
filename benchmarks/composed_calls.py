"""Two-sided calls composed of labelled recordings, and how well a job's results match them.

Channel 0 is the agent: telephone prompts of one language, read, neutral or friendly. Channel 1 is
the customer: recordings of one speaker, neutral, and in half of the calls angry after a change
point. Calls of both kinds have the same numbers of turns: length does not separate them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from batch_ser.audio import Samples, load
from batch_ser.errors import UsageError
from train.augmentation import PEAK
from train.data import Utterance, load_utterance

RATE_HZ = 8_000
AGENT, CUSTOMER = 0, 1
NEUTRAL, ANGRY = "neutral", "angry"
NEUTRAL_LABELS = (NEUTRAL, "calm")
TURNS = (4, 40)  # of both sides
PAUSE_S = (0.2, 1.5)
PROMPT_S = (1.0, 8.0)
CUSTOMER_S = (1.0, 4.0)  # of speech in a turn
GAP_S = 0.2  # between joined utterances of a turn
GAIN_DB = (-12.0, 0.0)
NOISE_DB = -45.0  # relative to the neutral speech of the channel
TRIM_DB = 30.0
FRAME = RATE_HZ // 100
Item = TypeVar("Item")
Recordings = dict[str, list[Utterance]]  # by label


@dataclass(frozen=True)
class Turn:
    """The speech of one side, (n,) at `RATE_HZ`, and its first sample in the call."""

    channel: int
    label: str
    samples: Samples
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.samples)


def compose(
    folder: Path, customers: Sequence[Utterance], agents: Sequence[Path], calls: int, seed: int
) -> Path:
    """Write `calls` stereo WAV files, 8 kHz mu-law, and `truth.csv`, a row a turn; its path.

    `agents` are prompts, each in a folder of its language. Speakers with both neutral and angry
    recordings are customers; one with few recordings repeats them within a call, each after all
    others. Levels are as recorded, lowered by 0 to 12 dB, a draw for each channel.

    Raises:
        UsageError: no such speaker, or no prompt of 1 to 8 s.
    """
    rng = np.random.default_rng(seed)
    prompts, speakers = _prompts(agents), _speakers(customers)
    folder.mkdir(parents=True, exist_ok=True)
    # each number of turns twice: once in a call that stays neutral, once in one that turns angry
    lengths = rng.permutation(np.geomspace(*TURNS, (calls + 1) // 2).round().astype(int))
    next_speaker = _shuffled(sorted(speakers), rng)
    rows: list[dict[str, Any]] = []
    for number in range(calls):
        name = f"call-{number:04}.wav"
        labels = _labels(lengths[number // 2], number % 2 == 1, rng)
        agent = _shuffled(prompts[sorted(prompts)[rng.integers(len(prompts))]], rng)
        recordings = speakers[next(next_speaker)]
        customer = {label: _shuffled(said, rng) for label, said in recordings.items()}
        turns = _turns(labels, agent, customer, rng)
        soundfile.write(folder / name, _mixed(turns, rng), RATE_HZ, subtype="ULAW")
        rows += [_row(name, *each) for each in enumerate(turns)]
    truth = folder / "truth.csv"
    pd.DataFrame(rows).to_csv(truth, index=False)
    return truth


def trimmed(samples: Samples) -> Samples:
    """Samples from the first to the last 10 ms frame within 30 dB of the loudest."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames).mean(axis=1)
    loud = np.flatnonzero(power >= power.max(initial=0.0) * 10 ** (-TRIM_DB / 10))
    return frames[loud[0] : loud[-1] + 1].reshape(-1) if len(loud) else samples


def _prompts(agents: Sequence[Path]) -> dict[str, list[Samples]]:
    """The prompts of 1 to 8 s of each language, trimmed."""
    found: dict[str, list[Samples]] = {}
    for path in sorted(agents):
        samples = trimmed(load(str(path), RATE_HZ))
        if PROMPT_S[0] <= len(samples) / RATE_HZ <= PROMPT_S[1]:
            found.setdefault(path.parent.name, []).append(samples)
    if not found:
        raise UsageError(f"found {len(agents)} prompts, none of 1 to 8 s; give some for the agent")
    return found


def _speakers(customers: Sequence[Utterance]) -> dict[tuple[str, str], Recordings]:
    """The neutral and angry recordings of each speaker with both, by corpus and speaker."""
    found: dict[tuple[str, str], Recordings] = {}
    for each in customers:
        if each.speaker and each.style == "speech" and each.label in (NEUTRAL, ANGRY):
            recordings = found.setdefault((each.corpus, each.speaker), {})
            recordings.setdefault(each.label, []).append(each)
    both = {speaker: recordings for speaker, recordings in found.items() if len(recordings) == 2}
    if not both:
        raise UsageError("found no speaker with neutral and angry recordings; give some of both")
    return both


def _shuffled(items: Sequence[Item], rng: np.random.Generator) -> Iterator[Item]:
    """All items in a drawn order, then all again in another, without end."""
    while True:
        for index in rng.permutation(len(items)):
            yield items[index]


def _labels(turns: int, turns_angry: bool, rng: np.random.Generator) -> list[str]:
    """A label for each turn; the customer's are the odd ones, the change in the middle third."""
    change = rng.integers(-(-turns // 3), 2 * turns // 3 + 1) if turns_angry else turns
    return [ANGRY if i >= change and i % 2 == CUSTOMER else NEUTRAL for i in range(turns)]


def _turns(
    labels: Sequence[str],
    prompts: Iterator[Samples],
    customer: Mapping[str, Iterator[Utterance]],
    rng: np.random.Generator,
) -> list[Turn]:
    """Agent and customer alternately, a pause before each turn."""
    turns: list[Turn] = []
    for number, label in enumerate(labels):
        channel = number % 2
        samples = next(prompts) if channel == AGENT else _joined(customer[label], rng)
        start = (turns[-1].end if turns else 0) + round(rng.uniform(*PAUSE_S) * RATE_HZ)
        turns.append(Turn(channel, label, samples, start))
    return turns


def _joined(utterances: Iterator[Utterance], rng: np.random.Generator) -> Samples:
    """1 to 4 s of speech: utterances joined until a drawn duration is reached."""
    least, most = (round(limit_s * RATE_HZ) for limit_s in CUSTOMER_S)
    wanted = rng.integers(least, most + 1)
    gap = np.zeros(round(GAP_S * RATE_HZ), np.float32)
    parts: list[Samples] = []
    length = 0
    while length < wanted:
        part = trimmed(load_utterance(next(utterances), RATE_HZ))
        if length >= least and length + len(part) > most:
            break
        part = part[: most - length]
        parts += [gap, part] if parts else [part]
        length += len(part)
    return np.concatenate(parts)


def _mixed(turns: Sequence[Turn], rng: np.random.Generator) -> Samples:
    """The call, (frames, 2): the turns and noise, lowered by the gain of each channel.

    The noise is relative to neutral speech, or it would be louder in calls that turn angry.
    """
    frames = turns[-1].end + round(rng.uniform(*PAUSE_S) * RATE_HZ)
    call = rng.standard_normal((frames, 2), dtype=np.float32)
    for channel in (AGENT, CUSTOMER):
        own = [each for each in turns if each.channel == channel]
        neutral = np.concatenate([each.samples for each in own if each.label == NEUTRAL])
        call[:, channel] *= np.sqrt(np.mean(neutral**2)) * 10 ** (NOISE_DB / 20)
        for each in own:
            call[each.start : each.end, channel] += each.samples
        call[:, channel] *= 10 ** (rng.uniform(*GAIN_DB) / 20)
    return np.clip(call, -PEAK, PEAK)


def _row(call: str, number: int, turn: Turn) -> dict[str, Any]:
    """A row of the truth."""
    times_s = {"start_s": turn.start / RATE_HZ, "end_s": turn.end / RATE_HZ}
    return {"call": call, "channel": turn.channel, "turn": number, **times_s, "label": turn.label}


def judge(segments: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """Figures of a results table, whose files are named as the calls of `truth`.

    A turn's probabilities are the mean over the segments of its channel, weighted by how long
    they overlap it. A turn without any is missed: the shares count it as wrong, and `auc_turns`
    leaves it out. A call without any segment of the customer has a score of 0 in `auc_calls`.
    A figure of no turns, or an AUC of one class, is NaN.
    """
    labels = [name.removeprefix("p_") for name in segments.columns if name.startswith("p_")]
    scores = _turn_scores(segments, truth, labels)
    missed = np.isnan(scores).any(axis=1)
    best = np.where(missed, "", np.array(labels)[scores.argmax(axis=1)])
    found_neutral, found_angry = np.isin(best, NEUTRAL_LABELS), np.isin(best, [ANGRY])
    angry, neutral = np.asarray(truth["label"] == ANGRY), np.asarray(truth["label"] == NEUTRAL)
    customer = np.asarray(truth["channel"] == CUSTOMER)
    scored = customer & ~missed
    return {
        "auc_calls": _auc_calls(segments, truth),
        "auc_turns": _auc(angry[scored], scores[scored, labels.index(ANGRY)]),
        "neutral_turns": _share(found_neutral, neutral),
        "neutral_customer": _share(found_neutral, neutral & customer),
        "neutral_agent": _share(found_neutral, neutral & ~customer),
        "angry_turns": _share(found_angry, angry),
        "missed": _share(missed, np.ones(len(truth), bool)),
    }


def _turn_scores(
    segments: pd.DataFrame, truth: pd.DataFrame, labels: Sequence[str]
) -> NDArray[np.float64]:
    """Probabilities (turns, labels); NaN where no segment overlaps the turn."""
    columns = ["start_s", "end_s", *(f"p_{label}" for label in labels)]
    sides = segments.groupby(["file", "channel"])[columns]
    found: dict[Any, Any] = {side: own.to_numpy(np.float64) for side, own in sides}
    scores = np.full((len(truth), len(labels)), np.nan)
    for row, turn in enumerate(truth.to_dict("records")):
        own = found.get((turn["call"], turn["channel"]), np.zeros((0, len(columns))))
        starts_s = np.maximum(own[:, 0], turn["start_s"])
        overlap_s = np.maximum(np.minimum(own[:, 1], turn["end_s"]) - starts_s, 0.0)
        if overlap_s.any():
            scores[row] = overlap_s @ own[:, 2:] / overlap_s.sum()
    return scores


def _auc_calls(segments: pd.DataFrame, truth: pd.DataFrame) -> float:
    """Calls that turn angry against others, by the highest `p_angry` of the customer."""
    turns_angry = (truth["label"] == ANGRY).groupby(truth["call"]).any()
    customer = segments[segments["channel"] == CUSTOMER]
    highest = customer.groupby("file")[f"p_{ANGRY}"].max()
    return _auc(turns_angry.to_numpy(), highest.reindex(turns_angry.index, fill_value=0).to_numpy())


def _auc(positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    return float(roc_auc_score(positive, scores)) if len(np.unique(positive)) == 2 else np.nan


def _share(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(right[among].mean()) if among.any() else np.nan

"""Changes of test recordings: telephone codecs, noise, cuts. Heads are fitted without them."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from batch_ser.audio import Samples
from train.augmentation import CODECS, VOICES, babble, telephoned, with_noise
from train.data import Utterance, load_utterance

SNR_DB = 10.0
LENGTHS_S = (1, 2, 3)
Load = Callable[[Utterance, int], Samples]  # a recording's samples at a rate
Change = Callable[[Samples, int, np.random.Generator, str], Samples]  # of a speaker, at last


def conditions(utterances: Sequence[Utterance]) -> dict[str, Load]:
    """Ways to load a recording, by name; babble is made of other speakers of `utterances`."""
    changes: dict[str, Change] = {f"telephone, {name}": _line(name) for name in CODECS}
    changes["white noise, 10 dB"] = _white
    changes["babble, 10 dB"] = _babble_of(utterances)
    changes |= {f"{length_s} s from its middle": _middle(length_s) for length_s in LENGTHS_S}
    unchanged: dict[str, Load] = {"as it is": load_utterance}
    return unchanged | {name: _changed(change) for name, change in changes.items()}


def _changed(change: Change) -> Load:
    def load(utterance: Utterance, rate_hz: int) -> Samples:
        digest = hashlib.sha256(utterance.name.encode()).hexdigest()
        draw = np.random.default_rng(int(digest[:12], 16))
        return change(load_utterance(utterance, rate_hz), rate_hz, draw, utterance.speaker)

    return load


def _line(codec: str) -> Change:
    return lambda samples, rate_hz, _draw, _speaker: telephoned(samples, rate_hz, codec)


def _white(samples: Samples, _: int, draw: np.random.Generator, __: str) -> Samples:
    return with_noise(samples, draw.standard_normal(len(samples), dtype=np.float32), SNR_DB)


def _babble_of(utterances: Sequence[Utterance]) -> Change:
    """Six recordings of other speakers at once."""

    def babbled(samples: Samples, rate_hz: int, draw: np.random.Generator, who: str) -> Samples:
        others = [each for each in utterances if each.speaker != who]
        chosen = draw.choice(len(others), VOICES)
        voices = [load_utterance(others[number], rate_hz) for number in chosen]
        return with_noise(samples, babble(voices, len(samples), draw), SNR_DB)

    return babbled


def _middle(length_s: float) -> Change:
    def middle(samples: Samples, rate_hz: int, _: np.random.Generator, __: str) -> Samples:
        length = round(length_s * rate_hz)
        first = max(0, (len(samples) - length) // 2)
        return samples[first : first + length]

    return middle

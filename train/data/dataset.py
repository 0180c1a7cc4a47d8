"""The recordings of a training or an evaluation: read, with the chosen labels, without copies."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from train.data.copies import drop_copies
from train.data.corpora import KINDS, known_corpus, read_data
from train.data.labels import LabelChoice, in_order, parse_labels
from train.data.utterances import Utterance

RESTRICTED = ("-NC", "research", "no licence")  # in licences


@dataclass(frozen=True)
class Data:
    """Labelled recordings; `contents` are digests by which copies are known."""

    utterances: tuple[Utterance, ...]
    contents: tuple[str, ...]

    def digest(self) -> str:
        """SHA-256 over every recording's name, label and content, and its weight if it has one."""
        described = [
            (each.name, each.label, content, *([each.weight] if each.weight != 1 else []))
            for each, content in zip(self.utterances, self.contents, strict=True)
        ]
        return hashlib.sha256(repr(described).encode()).hexdigest()

    def chosen(self, rows: Sequence[int]) -> list[Utterance]:
        """Some of the recordings."""
        return [self.utterances[row] for row in rows]


def read(data: Sequence[str], labels: str | None, allow_duplicates: bool = False) -> Data:
    """The recordings of several `KIND:PATH` under the labels that `--labels` chooses.

    Raises:
        UsageError: the data cannot be read, or fewer than two labels are left.
    """
    utterances = labelled(data, labels)
    kept, contents = drop_copies(utterances, allow_duplicates)
    return Data(tuple(kept), tuple(contents))


def labelled(data: Sequence[str], labels: str | None) -> list[Utterance]:
    """Recordings with their labels; those whose label is not chosen are left out, and counted."""
    if not data:
        raise UsageError(f"--data: expected KIND:PATH with KIND one of {', '.join(KINDS)}")
    choice = parse_labels(labels)
    utterances = read_data(data, choice.own_labels if choice else ())
    unmatched = choice.unmatched({each.label for each in utterances}) if choice else ()
    lacking = f"--labels {labels}: no recording is labelled {', '.join(unmatched)}"
    chosen = _relabelled(utterances, choice, labels) if choice else utterances
    present = in_order({each.label for each in chosen})
    if len(present) < 2:
        raise UsageError(
            f"--data: found {len(chosen)} recordings with the labels "
            f"{', '.join(present) or 'none'}; expected two labels or more"
            + (f"; {lacking}" if unmatched else "")
        )
    if unmatched:
        print(lacking, file=sys.stderr)
    return chosen


def _relabelled(
    utterances: Sequence[Utterance], choice: LabelChoice, labels: str | None
) -> list[Utterance]:
    """The recordings whose label is chosen, under the chosen labels; the others are counted."""
    chosen = [
        replace(each, label=choice.mapping[each.label])
        for each in utterances
        if each.label in choice.mapping
    ]
    if len(chosen) < len(utterances):
        gone = in_order({u.label for u in utterances} - set(choice.mapping))
        print(
            f"--labels {labels}: {len(utterances) - len(chosen):,} of {len(utterances):,} "
            f"recordings are left out ({', '.join(gone)})",
            file=sys.stderr,
        )
    return chosen


def possible_labels(data: Data, labels: tuple[str, ...]) -> NDArray[np.bool_]:
    """(recordings, labels): whether a recording's corpus has a label.

    A corpus without one is no evidence against it.
    """
    has = {(each.corpus, each.label) for each in data.utterances}
    return np.array([[(each.corpus, label) in has for label in labels] for each in data.utterances])


def corpus_names(utterances: Sequence[Utterance]) -> list[str]:
    """The corpora of recordings as checkpoints name them: titles, or names of the user's own."""
    corpora = dict.fromkeys(each.corpus for each in utterances)
    return [known.title if (known := known_corpus(each)) else each for each in corpora]


def is_called(name: str, corpus: str) -> bool:
    """Whether a checkpoint's name of a corpus is this one's, or a part's: `RAVDESS, speech`."""
    return name == corpus or name.startswith(f"{corpus}, ")


def about_corpora(utterances: Sequence[Utterance]) -> tuple[dict[str, Any], ...]:
    """A checkpoint's metadata on the corpora that it was trained on."""
    found = []
    for name in dict.fromkeys(each.corpus for each in utterances):
        own = [each for each in utterances if each.corpus == name]
        known = known_corpus(name)
        found.append(
            {
                "name": known.title if known else name,
                "licence": known.licence if known else "not stated: recordings of the user's own",
                "source": known.source if known else "the user",
                "recordings": len(own),
                "speakers": len({each.speaker for each in own if each.speaker}),
            }
        )
    return tuple(found)


def licence_of(corpora: Sequence[dict[str, Any]]) -> str:
    """The licence of weights: those of what they rest on, recordings and pretrained weights.

    An entry without `recordings` is of weights.
    """
    licences = dict.fromkeys(each["licence"] for each in corpora)
    purpose = "research and evaluation; " if any(map(is_restricted, licences)) else ""
    names = ", ".join(dict.fromkeys(each["name"] for each in corpora if "recordings" in each))
    weights = "".join(f"; {each['name']}" for each in corpora if "recordings" not in each)
    return f"{'; '.join(licences)} ({purpose}trained on {names}{weights})"


def is_restricted(licence: str) -> bool:
    """Whether a corpus's licence, as `CORPORA` has it, is for research or non-commercial use."""
    return any(word in licence for word in RESTRICTED)

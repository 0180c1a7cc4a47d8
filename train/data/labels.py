"""The shared table of labels, and the user's choice among them (`--labels`)."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from batch_ser.errors import UsageError

SHARED = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "bored",
)
SPELLINGS = {
    "neutral": "neutral neu neutrality",
    "calm": "calm cal calmness",
    "happy": "happy hap happiness joy joyful",
    "sad": "sad sadness",
    "angry": "angry ang anger",
    "fearful": "fearful fear fea",
    "disgust": "disgust dis disgusted",
    "surprised": "surprised surprise sur ps pleasantsurprise pleasantsurprised",
    "bored": "bored boredom bor",
}
ALIASES = {alias: label for label, words in SPELLINGS.items() for alias in words.split()}
PRESETS = {
    "six": "neutral=neutral+calm,happy,sad,angry,fearful,disgust",
    # Without surprised, whose valence is ambiguous, and bored, which few corpora have.
    "three": "negative=angry+sad+fearful+disgust,neutral=neutral+calm,positive=happy",
}
PUNCTUATION = re.compile(r"[\s_.-]+")


def shared_name(name: str) -> str | None:
    """The shared label of a corpus' name for it, or None: `ANG`, `Anger` and `05Angry` are angry.

    Case, a number in front and spaces, dots, hyphens and underscores do not matter.
    """
    plain = PUNCTUATION.sub("", name.strip().lower().lstrip("0123456789"))
    return ALIASES.get(plain)


def known_name(name: str, own_labels: Collection[str]) -> str | None:
    """The shared name, or the user's own label as the user writes it, or None."""
    own = {label.casefold(): label for label in own_labels}
    return shared_name(name) or own.get(name.strip().casefold())


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels once each: the shared ones in their order, then the user's own by alphabet."""
    present = set(labels)
    shared = [label for label in SHARED if label in present]
    return (*shared, *sorted(present - set(SHARED)))


@dataclass(frozen=True)
class LabelChoice:
    """Which labels a network learns, and which one each label of the data becomes."""

    names: tuple[str, ...]
    mapping: dict[str, str]  # label of the data -> chosen label; others are left out
    preset: bool = False  # chosen by a preset's name

    @property
    def own_labels(self) -> tuple[str, ...]:
        """Labels of the data that are none of the shared ones."""
        return in_order(set(self.mapping) - set(SHARED))

    def unmatched(self, present: Collection[str]) -> tuple[str, ...]:
        """What was chosen and no recording has, where `present` are the labels of the data.

        Of a preset only its targets count: it names every label that could become one of them.
        """
        if not self.preset:
            return in_order(set(self.mapping) - set(present))
        found = {self.mapping[label] for label in present if label in self.mapping}
        return in_order(set(self.names) - found)


def preset_of(labels: Iterable[str]) -> str | None:
    """The preset that has these labels, if one has."""
    found = set(labels)
    return next((name for name in PRESETS if set(_preset(name).names) == found), None)


def _preset(preset: str) -> LabelChoice:
    choice = parse_labels(preset)
    assert choice
    return choice


def parse_labels(text: str | None) -> LabelChoice | None:
    """`--labels`: names, merged ones as `target=source+source`, or a preset; None if not given.

    Every name goes through the shared table (`anger=ang` is `angry`); what is not in it is a
    label of the user's own.

    Raises:
        UsageError: an empty name, a target or a source twice, or fewer than two targets.
    """
    if text is None:
        return None
    names: list[str] = []
    mapping: dict[str, str] = {}
    for part in PRESETS.get(text.strip(), text).split(","):
        target, sources = _target(text, part)
        if _folded(target) in map(_folded, names):
            raise _wrong(text, f"the label {target} is there twice")
        names.append(target)
        for source in sources:
            twice = next((label for label in mapping if _folded(label) == _folded(source)), None)
            if twice is not None:
                into = target if mapping[twice] == target else f"{mapping[twice]} and {target}"
                raise _wrong(text, f"{source} is put into {into}; each label goes into one, once")
            mapping[source] = target
    if len(names) < 2:
        raise _wrong(text, f"only the label {names[0]}")
    return LabelChoice(in_order(names), mapping, text.strip() in PRESETS)


def _target(text: str, part: str) -> tuple[str, list[str]]:
    """One part between commas: the label, and what becomes it."""
    target, merges, rest = part.partition("=")
    sources = rest.split("+") if merges else [target]
    if not target.strip() or not all(source.strip() for source in sources):
        raise _wrong(text, "an empty name")
    if "=" in rest or "+" in target:
        raise _wrong(text, f"{part.strip()!r}")
    return _name(target), [_name(source) for source in sources]


def _name(written: str) -> str:
    return shared_name(written) or written.strip()


def _folded(name: str) -> str:
    return name.casefold()


def _wrong(text: str, found: str) -> UsageError:
    return UsageError(
        f"--labels {text}: found {found}; expected two or more names such as neutral,happy,sad, "
        f"merged ones as negative=angry+sad, or one of {', '.join(PRESETS)}; the shared labels "
        f"are {', '.join(SHARED)}"
    )


def check_labels(labels: Sequence[str], carried: Iterable[str]) -> set[str]:
    """The labels that recordings carry, of which a checkpoint with `labels` must have two.

    Raises:
        UsageError: it has fewer.
    """
    present = set(carried)
    if len(present & set(labels)) > 1:
        return present
    preset = preset_of(labels)
    if present <= set(labels):
        remedy = "give recordings of two labels or more"
    elif preset:
        remedy = f"give --labels {preset}, which the checkpoint's labels are"
    else:
        remedy = "give --labels with its names, as in --labels NAME=LABEL+LABEL,NAME=LABEL"
    raise UsageError(
        f"the checkpoint knows {', '.join(labels)}; the recordings are labelled "
        f"{', '.join(sorted(present))}: fewer than two labels are shared; {remedy}"
    )

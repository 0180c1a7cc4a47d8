"""Alarms: why the figures of an output should not be trusted. Pure functions of a few figures.

A rule has a threshold and a least amount of data. Thresholds were chosen by `benchmarks/alarms.py`
on some recordings and judged on others: docs/results.md, "Alarms".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from batch_ser.results import Alarm
from models.expectation import NATURAL, NEUTRAL

MIN_SEGMENTS = 50  # of fewer, or of fewer recordings, chance or one speaker may be the reason
MIN_FILES = 10
MIN_S = 300.0  # of sound
NEARLY_ALL = 0.9  # of the segments
EXPECTED = 0.5  # a share of `--expect` from which on a label is no surprise
MOST = 3.6  # times chance: 45 % of the segments where there are eight labels
HARDLY = 0.1  # of the segments
MOVED = 0.3  # of the segments
FAR = 1.2  # standard deviations of offsets
SAME = 0.1
LITTLE_SPEECH = 0.05  # of the sound
DUAL_MONO = 0.1  # of the files
UNEMOTIONAL = (NEUTRAL, "calm")
EXPECT_IT = "give `batch-ser adapt` the expected mixture, such as --expect {}=0.9"
LISTEN = "listen to some recordings: are they speech, at the right rate, undistorted?"


@dataclass(frozen=True)
class Figures:
    """What the rules look at. None: not known of such an output or checkpoint.

    Evidence are probabilities divided by the prior of `--expect`, normed to sum to 1.
    """

    files: int = 0  # that were decoded
    segments: int = 0
    asked_s: float = 0.0  # decoded, on channels that were to be scored
    scored_s: float = 0.0
    dual_mono: int = 0  # files
    role_missing: int = 0  # files that failed for it
    has_roles: bool = False
    expect: str | None = None
    expected: Mapping[str, float] = field(default_factory=dict)  # the prior: shares of the labels
    emotions: Mapping[str, int] = field(default_factory=dict)  # segments by label
    spread: float | None = None  # root of the summed variances of the labels' evidence
    unadapted: Mapping[str, int] | None = None  # segments by label, by evidence at the usual offset
    moved: int | None = None  # segments with another label at the usual offset
    distance: float | None = None  # of the offset from the usual one, in standard deviations

    @property
    def are_enough(self) -> bool:
        """Whether there are enough segments for a statement about all of them."""
        return self.segments >= MIN_SEGMENTS and self.files >= MIN_FILES


def alarms(figures: Figures) -> list[Alarm]:
    """The alarms of an output, in the order of the rules."""
    found = ((name, rule(figures)) for name, rule in RULES.items())
    return [Alarm(name, message) for name, message in found if message]


def little_speech(figures: Figures) -> str | None:
    """Hardly any of the sound is speech."""
    if figures.asked_s < MIN_S or figures.scored_s >= LITTLE_SPEECH * figures.asked_s:
        return None
    share = 100 * figures.scored_s / figures.asked_s
    return (
        f"{share:.1f} % of {figures.asked_s / 3600:.2f} h were scored as speech, expected "
        f"{100 * LITTLE_SPEECH:.0f} % or more; {LISTEN} Very soft ones may need a gain, stereo "
        "ones another of --channels"
    )


def dual_mono(figures: Figures) -> str | None:
    """Under `--roles`, recordings with both voices in one signal: nobody knows who speaks."""
    files, mixed = figures.files + figures.role_missing, figures.dual_mono + figures.role_missing
    if files < MIN_FILES or mixed < DUAL_MONO * files or not figures.has_roles:
        return None
    return (
        f"{mixed:,} of {files:,} files carry both voices in one signal, expected a channel for "
        "each role; their rows have no role, and with --score they fail (role_missing): export "
        "the calls with separate channels"
    )


def same_answer(figures: Figures) -> str | None:
    """The recordings make no difference to the probabilities."""
    if not figures.are_enough or figures.spread is None or figures.spread >= SAME:
        return None
    return (
        f"all segments have nearly the same probabilities (spread {figures.spread:.3f}, expected "
        f"{SAME} or more): the checkpoint, or what all recordings have in common, leaves nothing "
        f"to distinguish; try another --model, and {LISTEN}"
    )


def one_label(figures: Figures) -> str | None:
    """Nearly all segments have one label, and it is not expected."""
    if not figures.are_enough:
        return None
    label, share = _most(figures.emotions, but=(NEUTRAL,))
    if share < NEARLY_ALL or _is_expected(label, figures):
        return None
    return (
        f"{100 * share:.0f} % of the segments are {label}, expected less than "
        f"{100 * NEARLY_ALL:.0f} % of any label but neutral; if they are, "
        f"{EXPECT_IT.format(label)}; if not, {LISTEN}"
    )


def one_emotion(figures: Figures) -> str | None:
    """Without adaptation most segments have one emotion, which looks like an offset."""
    if not figures.are_enough or figures.unadapted is None:
        return None
    label, share = _most(figures.unadapted, but=UNEMOTIONAL)
    most = MOST / len(figures.unadapted)
    if share < most or _is_expected(label, figures):
        return None
    return (
        f"{100 * share:.0f} % of the segments look {label} at the usual offset, expected less "
        f"than {100 * most:.0f} % of any emotion; what an archive has in common is subtracted as "
        f"its offset: if it is mostly {label}, {EXPECT_IT.format(label)}"
    )


def not_as_expected(figures: Figures) -> str | None:
    """An emotion is expected throughout, and hardly there without adaptation."""
    if not figures.are_enough or figures.unadapted is None:
        return None
    for label, expected in figures.expected.items():
        share = figures.unadapted.get(label, 0) / figures.segments
        if label not in UNEMOTIONAL and expected >= EXPECTED and share < HARDLY:
            return (
                f"--expect states {label}={expected:g}, and {100 * share:.0f} % of the segments "
                f"look {label} at the usual offset, expected {100 * HARDLY:.0f} % or more: what is "
                "expected is found whatever the recordings are; if they are ordinary speech, give "
                "`batch-ser adapt --expect natural`"
            )
    return None


def far_offset(figures: Figures) -> str | None:
    """The offset is further out than that of any training corpus."""
    if not figures.are_enough or figures.distance is None or figures.distance <= FAR:
        return None
    return (
        f"the offset is {figures.distance:.1f} standard deviations from the usual one, expected "
        f"at most {FAR}: these recordings are unlike all of the training; {LISTEN}"
    )


def moved(figures: Figures) -> str | None:
    """Most labels depend on whether the offset is subtracted."""
    if not figures.are_enough or figures.moved is None or figures.expect != NATURAL:
        return None
    share = figures.moved / figures.segments
    if share <= MOVED:
        return None
    return (
        f"{100 * share:.0f} % of the segments have another label than with --adapt none, expected "
        f"at most {100 * MOVED:.0f} %: the archive is of another mixture than expected, or unlike "
        f"all of the training; give --expect, and {LISTEN}"
    )


RULES: dict[str, Callable[[Figures], str | None]] = {
    "little_speech": little_speech,
    "dual_mono": dual_mono,
    "same_answer": same_answer,
    "one_label": one_label,
    "one_emotion": one_emotion,
    "not_as_expected": not_as_expected,
    "far_offset": far_offset,
    "moved": moved,
}


def _most(counts: Mapping[str, int], but: Sequence[str]) -> tuple[str, float]:
    """The most frequent label, but for some, and its share of all segments."""
    label = max((each for each in counts if each not in but), key=counts.__getitem__, default="")
    return label, counts.get(label, 0) / sum(counts.values())


def _is_expected(label: str, figures: Figures) -> bool:
    return figures.expected.get(label, 0.0) >= EXPECTED

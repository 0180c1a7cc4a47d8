"""The card of a checkpoint: its purpose, its training data, its figures."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.checkpoint import CheckpointInfo
from models.expectation import NATURAL_SHARES, NEUTRAL
from train.data import ORDINARY, acted_in_a_studio, is_called, is_restricted
from train.evaluation.figures import BY_ARCHIVE
from train.fitting import is_calibrated

NOT_FOR = """\
{acted}It scores how an emotion is expressed, not whether it
is felt. Its figures are means over many segments: do not decide anything about a single person by
it. In the European Union, inferring the emotions of employees at work is prohibited (Regulation
2024/1689, article 5)."""


ACTED = "It was trained on acted speech in a studio{others}. "
OTHERS = ", and on other recordings ({names})"

SEEN = """\
This file was trained on {which} below. The figures are those of the same
recipe on {whom} that were not in its training: expect them on unseen {whom} recorded
in the same way. Other recording conditions and languages do worse."""

MOVED = """\
The head of this file started as that of {start} and was moved by labels of {own}. The encoder is
that of {start}. Both rest on the other recordings below, too. The figures are those of heads that a
part of the labels moved, on {whom} of the rest: expect them on unseen {whom} recorded
in the same way. Other recording conditions and languages do worse."""

NOT_SEEN = "This file was trained without the test side of the fold below."

CALM = """\
"calm" is a class that few corpora have; that of RAVDESS is close to neutral. On other recordings
read it together with neutral.

"""

NATURAL = """\
By default an archive is expected to be mostly neutral (`--expect natural`): a share of {offset:g}
for its offset, of {prior:g} for the prior of the probabilities. An archive of another mixture,
such as one of a single emotion, needs its own `--expect`; the program cannot know.

"""

NONE_AND_ARCHIVE = """
Figures "by archive" are with the offset of the test recordings of a corpus (`--adapt archive`); the
others with the usual offset (`--adapt none`){ordinary}. Both expect balanced labels.
"""
MOVED_OFFSET = """
Figures "by archive" are with the offset of all recordings of the labelled archive (`--adapt
archive`); the others with the usual offset (`--adapt none`), which labels moved to that of this
archive. Probabilities expect balanced labels in both.
"""
OF_ORDINARY = ", that of ordinary speech, which may lie far from that of acted speech"
CALIBRATED = """Confidence is calibrated by one
temperature ({temperature:.3f}), fitted on {calibrated}."""
NOT_CALIBRATED = """**Confidence is not calibrated**: its
temperature ended at the bound of the search ({temperature:.3f}), fitted on {calibrated}, whose
labels its scores hardly distinguish."""
HELD_OUT = "{whom} held out of the training data"
LEFT_OUT = """\
corpora (of a single one: on speakers) that a fit left out,
with estimated offsets"""
HELD_OUT_LABELS = (
    "{whom} held out of the labelled ones, and near that of the checkpoint that was moved"
)
NOT_MOVED = "the recordings of the checkpoint that was moved, and not on these labels"

ORDINARY_SPEECH = """
Not labelled are {names}: ordinary speech, which sets the usual offset{moved}.
"""
OF_EARLIER = " of the checkpoint that was moved"

# of checkpoints from before 2026-12, whose corpora do not name it
ORIGINS = {"whisper": "The encoder is that of OpenAI's Whisper tiny.en (MIT)."}
ENCODER = "The encoder rests on: {names}."
COMMERCIAL = (
    "For commercial use, train on recordings of your own: `batch-ser train --recipe {recipe}`."
)
# instead of recipes whose weights, without `--init`, come from elsewhere
FRESH = dict.fromkeys(("accurate", "fast", "head"), "accurate --fresh-head")
LAWYER = "Whether these licences allow your use of the weights is a question for your lawyer."

STARTED_FROM, MOVED_BY = "started_from", "moved_by"  # in a recipe: a checkpoint's name; data

CARD = """\
# {name}

- labels: {labels}
- architecture: {architecture}; {settings}
- front end: {front_end} at {rate_hz} Hz, at most {max_input_s:g} s at once
- recipe: {recipe}; made with {made_with}

## What it is for, and what not

{not_for}

{calm}{natural}## What to expect

{seen}

{table}
{report}
UAR: unweighted average recall, the mean over the labels{among}. {confidence}

## Training data and licence

{corpora}
{ordinary}
Licence of these weights: {licence}.
{closing}
"""


def card(info: CheckpointInfo, *, all_seen: bool) -> str:
    """The card as Markdown; `all_seen`: it was trained on the folds' test sides too."""
    calm = "calm" in info.labels and any(
        is_called(each["name"], "RAVDESS") for each in info.corpora
    )
    ordinary = [each["name"] for each in info.corpora if _is_ordinary(each["name"])]
    labelled = [
        each for each in info.corpora if each["name"] not in ordinary and "recordings" in each
    ]
    whom = "recordings" if info.note else "speakers"
    if any(name.endswith("left out") for name in info.metrics):
        whom = "corpora"
    fit = info.recipe.get("fit", "linear")  # once the only kind
    shares = NATURAL_SHARES | info.natural
    return CARD.format(
        name=info.name,
        labels=", ".join(info.labels),
        architecture=info.architecture,
        settings=", ".join(f"{name} {value}" for name, value in info.settings.items()),
        front_end=info.front_end,
        rate_hz=info.rate_hz,
        max_input_s=info.max_input_s,
        recipe=info.recipe.get("name"),
        made_with=", ".join(f"{name} {version}" for name, version in info.made_with.items()),
        not_for=NOT_FOR.format(acted=_acted(labelled)),
        whom=whom,
        among=" that a corpus has" if len(labelled) > 1 else "",
        calm=CALM if calm else "",
        natural=NATURAL.format(**shares) if _has_offset(fit) and NEUTRAL in info.labels else "",
        confidence=_confidence(info, _calibrated_on(info, fit, whom)),
        ordinary=_ordinary(ordinary, fit),
        seen=_seen(info, fit, whom, all_seen=all_seen),
        table=_table(info) + _notes(info, ordinary=bool(ordinary)),
        report=f"\n{info.report}\n" if info.report else "",
        corpora=_corpora(info),
        licence=info.licence,
        closing=_closing(info),
    )


def _seen(info: CheckpointInfo, fit: str, whom: str, *, all_seen: bool) -> str:
    """What the weights were fitted on, beside what the figures are of."""
    if moved := info.recipe.get(MOVED_BY):
        return MOVED.format(start=info.recipe[STARTED_FROM], own=", ".join(moved), whom=whom)
    refit = info.recipe.get("optimisation", {}).get("refit", False)
    every = fit in ("linear", "lda") or refit  # without a valid side
    which = "all the recordings" if every else "the recordings, but some that only validated it,"
    return SEEN.format(whom=whom, which=which) if all_seen else NOT_SEEN


def _has_offset(fit: str) -> bool:
    return fit in ("lda", "head")


def _calibrated_on(info: CheckpointInfo, fit: str, whom: str) -> str:
    """What the temperature was fitted on."""
    if fit == "head":
        return HELD_OUT_LABELS.format(whom=whom) if info.metrics else NOT_MOVED
    return LEFT_OUT if fit == "lda" else HELD_OUT.format(whom=whom)


def _ordinary(names: Sequence[str], fit: str) -> str:
    moved = OF_EARLIER if fit == "head" else ""
    return ORDINARY_SPEECH.format(names=", ".join(names), moved=moved) if names else ""


def _acted(labelled: Sequence[Mapping[str, Any]]) -> str:
    """A sentence, where recordings of some corpus were acted in a studio."""
    others = [each["name"] for each in labelled if not acted_in_a_studio(each["name"])]
    if len(others) == len(labelled):
        return ""
    return ACTED.format(others=OTHERS.format(names=", ".join(others)) if others else "")


def _confidence(info: CheckpointInfo, calibrated: str) -> str:
    text = CALIBRATED if is_calibrated(info.temperature) else NOT_CALIBRATED
    return text.format(temperature=info.temperature, calibrated=calibrated)


def _notes(info: CheckpointInfo, *, ordinary: bool) -> str:
    """Paragraphs behind the figures."""
    adapted = [name.endswith(BY_ARCHIVE) for name in info.metrics]
    both = any(adapted) and not all(adapted)
    text = NONE_AND_ARCHIVE.format(ordinary=OF_ORDINARY if ordinary else "") if both else ""
    if both and info.recipe.get("fit") == "head":
        text = MOVED_OFFSET
    return f"\n{text}".rstrip() + (f"\n\nNote: {info.note}." if info.note else "")


def _corpora(info: CheckpointInfo) -> str:
    """What the weights rest on, one a line; an entry without recordings is of weights."""
    return "\n".join(
        f"- {each['name']}: {_recordings(each)}{each['licence']} ({each['source']})"
        for each in info.corpora
    )


def _recordings(corpus: Mapping[str, Any]) -> str:
    if "recordings" not in corpus:
        return ""
    return f"{corpus['recordings']} recordings of {corpus['speakers'] or 'unknown'} speakers, "


def _closing(info: CheckpointInfo) -> str:
    """The encoder's origin, the way to weights of other licences, and who judges licences."""
    names = [each["name"] for each in info.corpora if each.get("encoder")]
    origin = ENCODER.format(names=", ".join(names)) if names else ORIGINS.get(info.architecture)
    recipe = info.recipe.get("name")
    restricted = any(is_restricted(each["licence"]) for each in info.corpora)
    commercial = COMMERCIAL.format(recipe=FRESH.get(str(recipe), recipe))
    return "\n".join(filter(None, [origin, commercial if restricted else "", LAWYER]))


def _is_ordinary(name: str) -> bool:
    return name.startswith("ordinary ") or any(
        is_called(name, each.title) for each in ORDINARY.values()
    )


def _table(info: CheckpointInfo) -> str:
    if not info.metrics:
        return "No figures: it was trained without folds."
    names = list(next(iter(info.metrics.values())))
    head = f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
    rows = [
        f"| {fold} | {' | '.join(f'{100 * figures[name]:.1f} %' for name in names)} |"
        for fold, figures in info.summary().items()
    ]
    return "\n".join([head, *rows])

"""A checkpoint's card: what it is for, what it was trained on, what to expect of it."""

from models.checkpoint import CheckpointInfo
from train.data import is_called

NOT_FOR = """\
{acted}It hears how an emotion is expressed, not whether it
is felt. Its figures are means over many segments: do not decide anything about a single person by
it. In the European Union, inferring the emotions of employees at work is prohibited (Regulation
2024/1689, article 5)."""


ACTED = "It was trained on acted speech in a studio. "

SEEN = """\
This file was trained on {which} below. The figures are those of the same
recipe on {whom} that its training had not heard: expect them of new {whom} recorded
in the same way. Other recording conditions and languages do worse."""

NOT_SEEN = "This file was trained without the test side of the fold below."

CALM = """\
"calm" is a class that few corpora have; that of RAVDESS is close to neutral. On other recordings
read it together with neutral.

"""

ORIGINS = {"whisper": "The encoder is that of OpenAI's Whisper tiny.en (MIT). "}

CARD = """\
# {name}

- labels: {labels}
- architecture: {architecture}; {settings}
- front end: {front_end} at {rate_hz} Hz, at most {max_input_s:g} s at once
- recipe: {recipe}; made with {made_with}{teacher}

## What it is for, and what not

{not_for}

{calm}## What to expect

{seen}

{table}
{report}
UAR: unweighted average recall, the mean over the labels{among}. Confidence is calibrated by one
temperature ({temperature:.3f}), fitted on {whom} held out of the training data.

## Training data and licence

{corpora}

Licence of these weights: {licence}.
{origin}For commercial use, train on your own
recordings with the same recipe: `batch-ser train --recipe {recipe}{needs}`.
"""


def card(info: CheckpointInfo, all_seen: bool) -> str:
    """The card as Markdown; `all_seen`: it was trained on the folds' test sides too."""
    corpora = [
        f"- {each['name']}: {each['recordings']} recordings of {each['speakers']} speakers, "
        f"{each['licence']} ({each['source']})"
        for each in info.corpora
    ]
    calm = "calm" in info.labels and any(
        is_called(each["name"], "RAVDESS") for each in info.corpora
    )
    acted = all(each["source"] != "the user" for each in info.corpora)
    whom = "recordings" if info.note else "speakers"
    linear = info.recipe.get("fit", "linear") == "linear"  # needs no valid side; once the only kind
    every = linear or info.recipe.get("refit", False)
    which = "all the recordings" if every else "the recordings, but some that only steered it,"
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
        not_for=NOT_FOR.format(acted=ACTED if acted else ""),
        whom=whom,
        among=" that a corpus has" if len(info.corpora) > 1 else "",
        calm=CALM if calm else "",
        seen=SEEN.format(whom=whom, which=which) if all_seen else NOT_SEEN,
        table=_table(info) + (f"\n\nNote: {info.note}." if info.note else ""),
        teacher=f"\n- taught by: {info.teacher}" if info.teacher else "",
        needs=" --teacher CHECKPOINT" if info.teacher else "",
        report=f"\n{info.report}\n" if info.report else "",
        temperature=info.temperature,
        corpora="\n".join(corpora),
        licence=info.licence,
        origin=ORIGINS.get(info.architecture, ""),
    )


def _table(info: CheckpointInfo) -> str:
    if not info.metrics:
        return "No figures: it was trained without folds."
    names = list(next(iter(info.metrics.values())))
    head = f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
    rows = [
        f"| {fold} | {' | '.join(f'{100 * figures[name]:.1f} %' for name in names)} |"
        for fold, figures in info.in_short().items()
    ]
    return "\n".join([head, *rows])

"""A checkpoint's card: what it is for, what it was trained on, what to expect of it."""

from models.checkpoint import CheckpointInfo

NOT_FOR = """\
It was trained on acted speech in a studio. It hears how an emotion is expressed, not whether it
is felt. Its figures are means over many segments: do not decide anything about a single person by
it. In the European Union, inferring the emotions of employees at work is prohibited (Regulation
2024/1689, article 5)."""


def card(info: CheckpointInfo, all_seen: bool) -> str:
    """The card as Markdown."""
    corpora = "\n".join(
        f"- {each['name']}: {each['recordings']} recordings of {each['speakers']} speakers, "
        f"{each['licence']} ({each['source']})"
        for each in info.corpora
    )
    seen = (
        "This file was trained on all the recordings below. The figures are those of the same "
        "recipe on speakers that its training had not heard: expect them of new speakers "
        "recorded in the same way. Other recording conditions and languages do worse."
        if all_seen
        else "This file was trained without the test side of the fold below."
    )
    return f"""# {info.name}

Labels: {", ".join(info.labels)}.
Architecture: {info.architecture}, {info.settings}; front end {info.front_end} at
{info.rate_hz} Hz, at most {info.max_input_s:g} s at once.

## What it is for, and what not

{NOT_FOR}

"calm" is a class of RAVDESS alone, close to neutral; elsewhere read it together with neutral.

## What to expect

{seen}

{_table(info)}

UAR: unweighted average recall, the mean over the labels. Confidence is calibrated by one
temperature ({info.temperature:.3f}), fitted on speakers held out of the training data.

## Training data and licence

{corpora}

Licence of these weights: {info.licence}. The encoder is that of OpenAI's Whisper tiny.en (MIT).
For commercial use, train on your own recordings with the same recipe: `batch-ser train --recipe
{info.recipe.get("name", "NAME")}`.
"""


def _table(info: CheckpointInfo) -> str:
    if not info.metrics:
        return "No figures: it was trained without folds."
    names = list(next(iter(info.metrics.values())))
    head = f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
    rows = [
        f"| {fold} | {' | '.join(f'{100 * figures[name]:.1f} %' for name in names)} |"
        for fold, figures in info.metrics.items()
    ]
    return "\n".join([head, *rows])

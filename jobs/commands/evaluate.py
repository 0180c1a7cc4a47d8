"""`batch-ser evaluate`."""

from typing import Annotated

import typer

from jobs.commands.exits import exit_codes
from jobs.commands.options import AllowDuplicates, Data, Device, Expect, Labels, Model
from jobs.stop import OrderlyStop


def evaluate(
    out: Annotated[str, typer.Option("--out", "-o", help="Folder for figures and pictures.")],
    data: Data = None,
    model: Model = "accurate",
    split: Annotated[str, typer.Option(help="Evaluate its test side only; as for train.")] = "",
    fold: Annotated[str, typer.Option(help="Which fold, of a split with several.")] = "",
    labels: Labels = None,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    device: Device = "auto",
    allow_duplicates: AllowDuplicates = False,
    adapt: Annotated[
        str,
        typer.Option(help="Whose offset is subtracted: none, archive, corpus or speaker."),
    ] = "none",
    expect: Expect = None,
) -> None:
    """Score labelled recordings: figures with intervals, pictures, and every prediction."""
    with exit_codes(), OrderlyStop().installed():
        from train.evaluate import EvaluateConfig
        from train.evaluate import evaluate as evaluate_checkpoint

        config = EvaluateConfig(
            data=tuple(data or ()),
            model=model,
            out=out,
            labels=labels,
            split=split,
            fold=fold,
            seed=seed,
            device=device,
            allow_duplicates=allow_duplicates,
            adapt=adapt,
            expect=expect,
        )
        typer.echo(evaluate_checkpoint(config))

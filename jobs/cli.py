"""The command line: a thin caller of the library. `--help` loads neither torch nor Ray."""

import sys
from typing import Annotated

import typer

from batch_ser import __version__
from jobs.commands import (
    adapt,
    calls,
    diff,
    evaluate,
    export,
    import_labels,
    judge,
    models,
    plan,
    predict,
    report,
    retry,
    run,
    sample,
    serve,
    status,
    train,
    verify,
)
from jobs.commands.arguments import Arguments

app = typer.Typer(
    cls=Arguments,
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Speech emotion recognition over large audio archives.",
)


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"batch-ser {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Speech emotion recognition over large audio archives."""


app.command()(plan.plan)
app.command()(run.run)
app.command()(predict.predict)
app.command()(serve.serve)
app.command()(status.status)
app.command()(retry.retry)
app.command()(verify.verify)
app.command()(adapt.adapt)
app.command()(calls.calls)
app.command()(report.report)
app.command()(diff.diff)
app.command()(sample.sample)
app.command()(import_labels.import_labels)
app.command()(judge.judge)
app.command()(models.models)
app.command()(export.export)
app.command()(train.train)
app.command()(evaluate.evaluate)


if __name__ == "__main__":
    sys.exit(app())

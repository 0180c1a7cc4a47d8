"""`batch-ser retry`."""

from typing import Annotated

import typer

from jobs.commands.exits import end_with, exit_codes


def retry(
    out: Annotated[str, typer.Argument(help="What --out was.")],
    reason: Annotated[
        str | None, typer.Option(help="WORD,...: only files that failed for these reasons.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The checkpoint of the run, where it is elsewhere now.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    engine: Annotated[str | None, typer.Option(help="ray or inline.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster of this machine: auto, or HOST:PORT of its head."),
    ] = None,
    file_timeout: Annotated[
        float | None, typer.Option(help="Seconds that one file may take.")
    ] = None,
    max_hours: Annotated[
        float | None, typer.Option("--max-hours", help="Longer recordings fail: too_long.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Do failed files of a complete output again, with the options of its run."""
    from jobs.progress import Progress

    with exit_codes(resumable=True), Progress() as progress:
        from jobs.retry import RetryOptions
        from jobs.retry import retry as retry_failed

        reasons = [] if reason is None else [word.strip() for word in reason.split(",")]
        options = RetryOptions(model, device, engine, workers, address, file_timeout, max_hours)
        report = retry_failed(out, reasons, options, progress)
        end_with(report, as_json=as_json)

"""`batch-ser verify`."""

from typing import Annotated

import typer

from jobs.commands.exits import NOT_COMPLETE, exit_codes


def verify(out: Annotated[str, typer.Argument(help="What --out was.")]) -> None:
    """Recount an output from its tables alone; exit status 1 if anything does not hold."""
    with exit_codes():
        from batch_ser.results import Output
        from batch_ser.results import verify as recount
        from jobs.recovery import recover_output, storage_errors
        from jobs.report import alarm_lines, stale_notes

        output = Output(out)
        recover_output(output)
        with storage_errors(output):
            verdict = recount(output)
            record = output.run_record()
            notes = stale_notes(output) + (alarm_lines(record) if record else [])
        for fault in verdict.faults:
            typer.echo(fault)
        for note in notes:
            typer.echo(note)
        counts = verdict.counts
        state = f"{verdict.fault_count} faults" if verdict.faults else "everything holds"
        typer.echo(f"{counts.files_in:,} files, {counts.segments:,} segments: {state}")
        raise typer.Exit(NOT_COMPLETE if verdict.faults else 0)

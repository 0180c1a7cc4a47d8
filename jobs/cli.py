"""The command line: a thin caller of the library. `--help` loads neither torch nor Ray.

`run` is the one long function: its signature is the list of its options.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from batch_ser import __version__
from jobs.exits import FAILED_FILES, NOT_COMPLETE, exit_codes
from jobs.options import (
    Adapt,
    AdaptFrom,
    Channels,
    Device,
    Expect,
    HopS,
    Input,
    MaxHours,
    MaxS,
    MinS,
    Model,
    Out,
    RawChannels,
    RawEncoding,
    RawRate,
    SegmentBy,
    WindowS,
    reading,
)  # fmt: skip
from jobs.training import evaluate, train

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Speech emotion recognition over large audio archives.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"batch-ser {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Speech emotion recognition over large audio archives."""


@app.command()
def run(
    input: Input,
    out: Out,
    model: Model = "accurate",
    device: Device = "auto",
    segment: SegmentBy = None,
    window_s: WindowS = None,
    hop_s: HopS = None,
    min_s: MinS = None,
    max_s: MaxS = None,
    channels: Channels = "split",
    raw_encoding: RawEncoding = None,
    raw_rate: RawRate = 8_000,
    raw_channels: RawChannels = 1,
    max_hours: MaxHours = 48.0,
    include: Annotated[
        list[str] | None, typer.Option(help="Only names like GLOB; '*' takes every file.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No names like GLOB.")] = None,
    root: Annotated[
        str | None, typer.Option(help="Names in the tables start here, and stay below it.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N inputs.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; default: cores.")] = None,
    cpus_per_worker: Annotated[float, typer.Option(help="Ray's CPUs for each worker.")] = 1.0,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="Ray's GPUs for each worker; default: an equal share.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto or its address.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(help="ray, or inline: in this process, where a decoder's crash ends the job."),
    ] = "ray",
    batch_s: Annotated[float, typer.Option(help="Seconds of audio in a batch.")] = 64.0,
    file_timeout: Annotated[float, typer.Option(help="Seconds that one file may take.")] = 3600.0,
    max_failed: Annotated[
        str, typer.Option(help="Failed files (N or P%) that still give exit status 0.")
    ] = "0",
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Also store what the network's head receives.")
    ] = False,
    adapt: Adapt = None,
    expect: Expect = None,
    adapt_from: AdaptFrom = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin again from nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Score an archive: one row per segment, with every probability, to Parquet.

    The same command goes on where a stopped job ended.
    """
    with exit_codes():
        from batch_ser.inputs import Selection
        from jobs.driver import run as run_job
        from jobs.job import RunConfig

        report = run_job(
            RunConfig(
                inputs=tuple(input),
                out=out,
                model=model,
                device=device,
                segment=_segment(segment, window_s, hop_s, min_s, max_s),
                channels=channels,
                reading=reading(raw_encoding, raw_rate, raw_channels, max_hours),
                selection=Selection(tuple(include or ()), tuple(exclude or ()), root),
                limit=limit,
                workers=workers,
                cpus_per_worker=cpus_per_worker,
                gpus_per_worker=gpus_per_worker,
                address=address,
                engine=engine,
                batch_s=batch_s,
                file_timeout_s=file_timeout,
                max_failed=max_failed,
                embeddings=embeddings,
                adapt=adapt,
                expect=expect,
                adapt_from=adapt_from,
                restart=restart,
            )
        )
        typer.echo(json.dumps(report.record, indent=1) if as_json else report.as_text())
        if not report.record["counts"]["files_in"]:
            typer.echo(f"batch-ser: {report.nothing_found}", err=True)
        raise typer.Exit(report.exit_code)


def _segment(
    method: str | None,
    window_s: float | None,
    hop_s: float | None,
    min_s: float | None,
    max_s: float | None,
) -> dict[str, float | str | None]:
    return {
        "method": method,
        "window_s": window_s,
        "hop_s": hop_s,
        "min_s": min_s,
        "max_s": max_s,
    }


@app.command()
def predict(
    files: Annotated[list[str], typer.Argument(help="Recordings.")],
    model: Model = "accurate",
    device: Device = "cpu",
    segment: SegmentBy = None,
    channels: Channels = "mix",
    raw_encoding: RawEncoding = None,
    raw_rate: RawRate = 8_000,
    raw_channels: RawChannels = 1,
    max_hours: MaxHours = 48.0,
    expect: Expect = None,
    adapt_from: AdaptFrom = None,
    segments: Annotated[
        bool, typer.Option("--segments", help="Also every segment's probabilities.")
    ] = False,
) -> None:
    """Score a few files: a JSON line each, on standard output."""
    with exit_codes():
        read = reading(raw_encoding, raw_rate, raw_channels, max_hours)
        from jobs.predict import predict as predict_files

        settings = (model, device, {"method": segment}, channels, segments, read)
        failed = 0
        for answer in predict_files(files, *settings, expect, adapt_from):
            failed += "error" in answer
            typer.echo(json.dumps(answer, ensure_ascii=False))
        raise typer.Exit(FAILED_FILES if failed else 0)


@app.command()
def verify(out: Annotated[str, typer.Argument(help="What --out was.")]) -> None:
    """Recount an output from its tables alone; exit status 1 if anything does not hold."""
    with exit_codes():
        from batch_ser.output import Output
        from batch_ser.verify import verify as recount

        verdict = recount(Output(Path(out)))
        for fault in verdict.faults:
            typer.echo(fault)
        counts = verdict.counts.as_record()
        state = f"{verdict.faults_in_all} faults" if verdict.faults else "everything holds"
        typer.echo(f"{counts['files_in']:,} files, {counts['segments']:,} segments: {state}")
        raise typer.Exit(NOT_COMPLETE if verdict.faults else 0)


@app.command()
def adapt(
    out: Annotated[str, typer.Argument(help="What --out was.")],
    adapt: Adapt = None,
    expect: Expect = None,
    adapt_from: AdaptFrom = None,
    model: Annotated[
        str | None, typer.Option(help="The checkpoint of the run, where it lies elsewhere now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make an output's tables anew from its embeddings, without audio; what is not given stays."""
    with exit_codes():
        from jobs.adapt import adapt_again

        report = adapt_again(out, adapt, expect, model, adapt_from)
        typer.echo(json.dumps(report.record, indent=1) if as_json else report.as_text())
        raise typer.Exit(report.exit_code)


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The architectures with their parameter counts, and the shipped checkpoints."""
    with exit_codes():
        from models.listing import as_text, listing

        found = listing()
        typer.echo(json.dumps(found, indent=1) if as_json else as_text(found))


app.command()(train)
app.command()(evaluate)


if __name__ == "__main__":
    sys.exit(app())

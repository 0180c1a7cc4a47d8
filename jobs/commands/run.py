"""`batch-ser run`: the signature is the list of its options."""

from typing import Annotated

import typer

from jobs.commands.exits import end_with, exit_codes
from jobs.commands.options import (
    Adapt,
    AdaptFrom,
    BatchS,
    Channels,
    Device,
    Embeddings,
    Exclude,
    Expect,
    HopS,
    Include,
    Input,
    Limit,
    MaxHours,
    MaxS,
    MinS,
    Model,
    NamePattern,
    Out,
    RawChannels,
    RawEncoding,
    RawRate,
    Roles,
    Root,
    Score,
    SegmentBy,
    WindowS,
    reading,
    segment_options,
)


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
    roles: Roles = None,
    score: Score = None,
    raw_encoding: RawEncoding = None,
    raw_rate: RawRate = 8_000,
    raw_channels: RawChannels = 1,
    max_hours: MaxHours = 48.0,
    include: Include = None,
    exclude: Exclude = None,
    root: Root = None,
    limit: Limit = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Worker processes; default: cores; on a cluster as many as fit."),
    ] = None,
    cpus_per_worker: Annotated[float, typer.Option(help="Ray's CPUs for each worker.")] = 1.0,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            help="Ray's GPUs for each worker; default: an equal share, on a cluster 1 with cuda."
        ),
    ] = None,
    scorers: Annotated[
        int,
        typer.Option(help="Processes, with the GPUs, that score what workers decode; 0: workers."),
    ] = 0,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster of this machine: auto, or HOST:PORT of its head."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(help="ray, or inline: in this process, where a decoder's crash ends the job."),
    ] = "ray",
    batch_s: BatchS = 64.0,
    file_timeout: Annotated[float, typer.Option(help="Seconds that one file may take.")] = 3600.0,
    max_failed: Annotated[
        str, typer.Option(help="Failed files (N or P%) that still give exit status 0.")
    ] = "0",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Inputs without a single recording are no error.")
    ] = False,
    embeddings: Embeddings = False,
    adapt: Adapt = None,
    expect: Expect = None,
    adapt_from: AdaptFrom = None,
    name_pattern: NamePattern = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin again from nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Score an archive: one row per segment, with every probability, to Parquet.

    The same command goes on where a stopped job ended.
    """
    from jobs.progress import Progress

    with exit_codes(resumable=True), Progress() as progress:
        from batch_ser.inputs import Selection
        from jobs.driver import run as run_job
        from jobs.run_config import RunConfig

        report = run_job(
            RunConfig(
                inputs=tuple(input),
                out=out,
                model=model,
                device=device,
                segment=segment_options(segment, window_s, hop_s, min_s, max_s),
                channels=channels,
                roles=roles,
                score=score,
                reading=reading(raw_encoding, raw_rate, raw_channels, max_hours),
                selection=Selection(tuple(include or ()), tuple(exclude or ()), root),
                limit=limit,
                workers=workers,
                cpus_per_worker=cpus_per_worker,
                gpus_per_worker=gpus_per_worker,
                scorers=scorers,
                address=address,
                engine=engine,
                batch_s=batch_s,
                file_timeout_s=file_timeout,
                max_failed=max_failed,
                allow_empty=allow_empty,
                embeddings=embeddings,
                adapt=adapt,
                expect=expect,
                adapt_from=adapt_from,
                name_pattern=name_pattern,
                restart=restart,
            ),
            progress,
        )
        end_with(report, as_json=as_json)

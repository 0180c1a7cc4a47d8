"""`batch-ser plan`."""

import json
from typing import Annotated

import typer

from jobs.commands.exits import exit_codes
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
    Limit,
    MaxHours,
    MaxS,
    MinS,
    Model,
    NamePattern,
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

NO_OUTPUT = "plan"  # as a run's --out: nothing is written there


def plan(
    inputs: Annotated[list[str], typer.Argument(help="What --input of the run will be.")],
    cores: Annotated[
        int | None, typer.Option(help="Cores of the run; default: those here.")
    ] = None,
    price_per_core_hour: Annotated[
        float | None, typer.Option(help="What a core costs an hour, in any currency.")
    ] = None,
    sample_s: Annotated[float, typer.Option(help="Seconds to spend on a sample.")] = 90.0,
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
    batch_s: BatchS = 64.0,
    embeddings: Embeddings = False,
    adapt: Adapt = None,
    expect: Expect = None,
    adapt_from: AdaptFrom = None,
    name_pattern: NamePattern = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What a run will take: hours, cores, bytes, money; by scoring a sample, writing nothing."""
    from jobs.progress import Progress

    with exit_codes(), Progress() as progress:
        from batch_ser.inputs import Selection
        from jobs.plan import PlanConfig, as_lines
        from jobs.plan import plan as plan_run
        from jobs.run_config import RunConfig

        run = RunConfig(
            inputs=tuple(inputs),
            out=NO_OUTPUT,
            model=model,
            device=device,
            segment=segment_options(segment, window_s, hop_s, min_s, max_s),
            channels=channels,
            roles=roles,
            score=score,
            reading=reading(raw_encoding, raw_rate, raw_channels, max_hours),
            selection=Selection(tuple(include or ()), tuple(exclude or ()), root),
            limit=limit,
            batch_s=batch_s,
            embeddings=embeddings,
            adapt=adapt,
            expect=expect,
            adapt_from=adapt_from,
            name_pattern=name_pattern,
        )
        found = plan_run(PlanConfig(run, cores, price_per_core_hour, sample_s), progress)
        typer.echo(json.dumps(found.as_json(), indent=1) if as_json else "\n".join(as_lines(found)))

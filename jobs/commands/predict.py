"""`batch-ser predict`."""

import json
from typing import Annotated

import typer

from jobs.commands.exits import FAILED_FILES, exit_codes
from jobs.commands.options import (
    AdaptFrom,
    Channels,
    Device,
    Expect,
    MaxHours,
    Model,
    RawChannels,
    RawEncoding,
    RawRate,
    SegmentBy,
    reading,
)


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
        recording_options = reading(raw_encoding, raw_rate, raw_channels, max_hours)
        from jobs.predict import PredictConfig
        from jobs.predict import predict as predict_files

        config = PredictConfig(
            model=model,
            device=device,
            segment={"method": segment},
            channels=channels,
            reading=recording_options,
            expect=expect,
            adapt_from=adapt_from,
            with_segments=segments,
        )
        failed = 0
        for prediction in predict_files(files, config):
            failed += "error" in prediction
            typer.echo(json.dumps(prediction, ensure_ascii=False))
        raise typer.Exit(FAILED_FILES if failed else 0)

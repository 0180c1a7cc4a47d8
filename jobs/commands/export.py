"""`batch-ser export`."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.exits import exit_codes
from jobs.commands.options import Expect

ONNX = "onnx"


def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write: NAME.onnx.")],
    model: Annotated[
        str,
        typer.Option(help="A shipped checkpoint (see `batch-ser models`), or FILE.safetensors."),
    ] = "accurate",
    to: Annotated[str, typer.Option(help="The format: onnx.")] = ONNX,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="The encoder's linear layers in int8: smaller, other scores."),
    ] = False,
    expect: Expect = None,
) -> None:
    """Write a checkpoint, with its front end, as a file for other programs."""
    with exit_codes():
        from batch_ser.errors import UsageError

        if to != ONNX:
            raise UsageError(f"--to {to}: expected {ONNX}")
        from models.onnx_export import export_onnx

        done = export_onnx(model, out, int8=int8, expect=expect)
        typer.echo(
            f"{done.path}: {done.size_bytes / 1e6:.1f} MB, probabilities within "
            f"{done.difference:.1g} of the checkpoint's on trial segments of noise"
        )

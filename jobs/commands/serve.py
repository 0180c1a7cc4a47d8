"""`batch-ser serve`."""

import os
from typing import Annotated

import typer

from jobs.commands.exits import exit_codes
from jobs.commands.options import AdaptFrom, Channels, Device, Expect, Model


def serve(
    model: Model = "accurate",
    device: Device = "cpu",
    adapt_from: AdaptFrom = None,
    expect: Expect = None,
    channels: Channels = "mix",
    host: Annotated[
        str, typer.Option(help="The address to listen on; other than loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name of this server in requests' Host headers; repeatable."),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(help="A file with the token of every request; else BATCH_SER_TOKEN has it."),
    ] = None,
    max_mb: Annotated[float, typer.Option(help="Megabytes of an upload.")] = 100.0,
    max_minutes: Annotated[float, typer.Option(help="Length of a recording.")] = 30.0,
    max_requests: Annotated[int, typer.Option(help="Uploads at once; others get a 429.")] = 64,
    timeout_s: Annotated[float, typer.Option(help="Seconds for one upload.")] = 300.0,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="A line for each request, on standard error.")
    ] = False,
    no_page: Annotated[
        bool, typer.Option("--no-page", help="Only the REST interface, without a page at /.")
    ] = False,
) -> None:
    """Score uploads over HTTP: a REST interface, and a page for a browser."""
    with exit_codes():
        from jobs.serve import ServeConfig, check_extra, read_token
        from jobs.serve import serve as serve_config

        check_extra(page=not no_page)
        serve_config(
            ServeConfig(
                model=model,
                device=device,
                adapt_from=adapt_from,
                expect=expect,
                channels=channels,
                host=host,
                port=port,
                allowed_hosts=tuple(allow_host or ()),
                token=read_token(token_file, os.environ),
                max_megabytes=max_mb,
                max_minutes=max_minutes,
                max_requests=max_requests,
                timeout_s=timeout_s,
                has_page=not no_page,
                has_access_log=access_log,
            )
        )

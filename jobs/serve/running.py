"""A server from its options to its end."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from fastapi import FastAPI

from batch_ser import __version__
from batch_ser.errors import UsageError
from batch_ser.storage import scratch_folder
from jobs.batcher import Batcher
from jobs.html_report import worth_of_model
from jobs.predict import Predictor
from jobs.serve.access_log import log_config
from jobs.serve.app import make_app
from jobs.serve.children import Children
from jobs.serve.connections import Connection
from jobs.serve.guard import Guard
from jobs.serve.metrics import Metrics
from jobs.serve.scoring import Scoring
from jobs.serve.serve_config import ServeConfig, bracketed, check_extra
from jobs.stop import OrderlyStop
from models import load_checkpoint
from models.device import usable_device

KEEP_ALIVE_S = 5
SHUTDOWN_S = 10
BACKLOG = 128  # connections that asyncio accepts before it looks how many there are


def run_server(config: ServeConfig) -> None:
    """Serve until a signal ends it; prints the address once it can be used.

    Raises:
        UsageError: the extra is missing, the address cannot be used, or an option does not fit.
    """
    check_extra(page=config.has_page)
    with OrderlyStop().installed(), ExitStack() as stack:
        listener = stack.enter_context(listening(config))
        app = stack.enter_context(serving(config))
        port = listener.getsockname()[1]
        address = f"http://{bracketed(config.host)}:{port}"
        print(f"batch-ser: serving {config.model} at {address}", file=sys.stderr, flush=True)
        settings = uvicorn.Config(
            Guard(app, config),
            http=Connection,
            backlog=BACKLOG,
            ws="none",
            log_config=log_config(),
            access_log=config.has_access_log,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        uvicorn.Server(settings).run(sockets=[listener])


@contextmanager
def serving(config: ServeConfig) -> Iterator[FastAPI]:
    """The application with all that it needs; its folder and processes end with it.

    Raises:
        UsageError: an option does not fit.
    """
    # by default oneDNN keeps the kernels of a thousand shapes, and segments have all lengths
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
    checkpoint = load_checkpoint(config.model, usable_device(config.device, config.model))
    Predictor(checkpoint, config.prediction())  # checks --adapt-from and --expect
    metrics = Metrics(checkpoint.info.name, __version__)
    with ExitStack() as stack:
        # of a server that is killed, the next removes it; others cannot reach what is in it
        folder = Path(stack.enter_context(TemporaryDirectory(dir=scratch_folder(metrics))))
        batcher = Batcher(checkpoint, metrics.observe_batch)
        stack.callback(batcher.close)
        children = Children(config, batcher)
        stack.callback(children.close)
        scoring = Scoring(config, children, metrics, folder)
        stack.callback(scoring.close)
        app = make_app(checkpoint, batcher, children, scoring, metrics, config.channels)
        if config.has_page:
            from jobs.serve.page import add_page  # imports Gradio, for seconds

            worth = "\n\n".join(worth_of_model(config.model, checkpoint.digest))
            add_page(app, scoring, config, folder, worth)
        yield app


@contextmanager
def listening(config: ServeConfig) -> Iterator[socket.socket]:
    """A socket that listens, before seconds go into loading.

    Raises:
        UsageError: the address is in use, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # with its protocol named: only then asyncio sets TCP_NODELAY, without which every answer waits
    # 40 ms for a delayed acknowledgement
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((config.host, config.port))
        except OSError as error:
            raise UsageError(
                f"--host {config.host} --port {config.port}: {error.strerror or error}; expected a "
                "free port of an address of this machine"
            ) from error
        listener.listen(BACKLOG)
        yield listener

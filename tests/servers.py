"""A server of `batch-ser serve` for tests, on a free port of this machine, as a process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

EXTRA = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "httpx")
WITHOUT = "no package {}: pip install '.[serve,dev]'"


def need_extra(*names: str) -> None:
    """Skip the tests of a module where packages of the extra are missing."""
    for name in names or EXTRA:
        pytest.importorskip(name, reason=WITHOUT.format(name))


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    address: str
    process: "subprocess.Popen[str]"
    folder: Path  # for temporary files

    def stop(self) -> int:
        """End it by SIGTERM; returns its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()

    def uploads(self) -> list[Path]:
        """What is in the folders of its uploads."""
        return list(self.folder.glob("batch-ser-scratch-*/*/*/*"))


@contextmanager
def server(
    folder: Path, *options: object, token: str = "", first: str = "pass"
) -> Iterator[Server]:
    """Run `batch-ser serve` until it answers, with a folder for temporary files and its log.

    `first` are statements that its process executes before.
    """
    environment = os.environ | {"TMPDIR": str(folder)}
    if token:
        environment |= {"BATCH_SER_TOKEN": token}
    program = f"{first}\nfrom jobs.cli import app; app()"
    command = [sys.executable, "-c", program, "serve", "--port", "0"]
    log = folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, *map(str, options)], env=environment, stderr=file, text=True
        )
    try:
        while not (found := re.search(r"serving .* at (http://\S+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        yield Server(found[1], process, folder)
    finally:
        process.kill()
        process.wait()

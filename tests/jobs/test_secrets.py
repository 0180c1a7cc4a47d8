"""Secrets in arguments are refused, those of signed addresses in manifests are left out.

Neither is ever in an output, nor in a file that the job or Ray wrote.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import ENGINES, Runner

from batch_ser.addresses import holds_secret, public_address
from batch_ser.errors import UsageError
from batch_ser.inputs.folders import Selection
from jobs import RunConfig
from jobs.cli import app

SECRET = "Geh31m"
PLANTED = (
    f"https://me:{SECRET}@host/calls",
    f"s3:/me:{SECRET}@bucket/calls",
    f"https://{SECRET}@host/calls",
    f"me:{SECRET}@host:6379",
    f"https://host/a.wav?X-Amz-Date=1&X-Amz-Signature={SECRET}",
    f"s3:/bucket/a.wav?versionId={SECRET}",
    f"x.wav?sig={SECRET}",
    f"x.wav?a=1&X-Goog-Signature={SECRET}",
)
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def command_lines() -> Iterator[list[str]]:
    """A secret in every option that takes a value, as an argument, and as an unknown option.

    Each of the secrets in turn: all of them in every option are thousands of commands.
    """
    secrets = cycle(PLANTED)
    for command, about in COMMANDS.items():
        for parameter in about.params:
            option = parameter.opts[-1]
            if option.startswith("-"):
                yield [command, option, next(secrets)]
                yield [command, f"{option}={next(secrets)}"]
            else:
                yield [command, next(secrets)]
        yield from ([command, f"--{secret}"] for secret in PLANTED)
    yield from ([secret] for secret in PLANTED)


def test_secrets_in_arguments_are_refused_and_not_repeated(
    batch_ser: Runner, tmp_path: Path
) -> None:
    for line in command_lines():
        done = batch_ser(*line)
        assert done.returncode == 2, line
        assert "found a user name, a password or a signature" in done.stderr, line
        assert SECRET not in done.stdout + done.stderr, line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("secret", PLANTED)
def test_the_library_refuses_them_too(secret: str) -> None:
    for options in (
        {"inputs": ("calls", secret)},
        {"out": secret},
        {"model": secret},
        {"address": secret},
        {"engine": secret},
        {"adapt_from": secret},
        {"segment": {"method": secret}},
        {"selection": Selection(root=secret)},
        {"selection": Selection(include=(secret,))},
    ):
        with pytest.raises(UsageError, match="a user name, a password or a signature") as caught:
            RunConfig(**({"inputs": ("calls",), "out": "o.parquet"} | options))  # type: ignore[arg-type]
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "calls/2024-01-0?/*.wav",
        "calls/day=2024/a.wav",
        "angry=0.3,neutral=0.5",
        "0=agent,1=customer",
        "a@b.wav",
        "folder:/data/me@home/calls",
        "hf:models/me@v2",
        "ray://10.0.0.1:10001",
        "10:30 me @ home.wav",
        "optimiser.rate=1e-3",
        "s3://bucket/calls",
    ],
)
def test_what_holds_no_secret(text: str) -> None:
    assert not holds_secret(text)


def test_a_file_with_such_a_name_is_no_address(tmp_path: Path) -> None:
    named = tmp_path / f"x.wav?sig={SECRET}"
    named.touch()
    assert RunConfig((str(named),), "o.parquet").inputs == (str(named),)


def test_addresses_without_their_secrets() -> None:
    assert (
        public_address(f"https://me:{SECRET}@host/a@b.wav?sig={SECRET}#x") == "https://host/a@b.wav"
    )
    assert public_address(f"s3:/me:{SECRET}@bucket/a.wav") == "s3://bucket/a.wav"


def holders(folder: Path) -> list[Path]:
    """The files below a folder that hold the secret."""
    files = (Path(top, name) for top, _, names in os.walk(folder) for name in names)
    return [path for path in files if path.is_file() and SECRET.encode() in path.read_bytes()]


@dataclass
class Files:
    """What was seen in a folder while a program ran."""

    seen: set[Path] = field(default_factory=set)
    with_secret: set[Path] = field(default_factory=set)

    def look(self, folder: Path) -> None:
        self.seen |= {Path(top, name) for top, _, names in os.walk(folder) for name in names}
        with suppress(OSError):  # a file that is removed meanwhile
            self.with_secret |= set(holders(folder))


@contextmanager
def watched(folder: Path) -> Iterator[Files]:
    files, ended = Files(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            files.look(folder)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield files
    finally:
        ended.set()
        watcher.join()


@pytest.mark.parametrize("engine", ENGINES)
def test_signed_addresses_in_a_manifest_stay_there(
    program: Runner,
    archive: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    """Also mistyped ones, of which some look like paths. Ray's files are read while it runs."""
    lines = "".join(f"{planted},x\n" for planted in PLANTED)
    (tmp_path / "list.csv").write_text(f"file,agent\n{next(archive.glob('*/*.wav'))},Anna\n{lines}")
    rays = Path(tempfile.mkdtemp(dir="/tmp"))  # a socket's path is at most 107 bytes long
    monkeypatch.setenv("TMPDIR", str(rays))
    try:
        with watched(rays) as files:
            out = ("--out", "out.parquet", "--model", checkpoint_path)
            where = ("--engine", engine, "--workers", 1)
            done = program("run", "--input", "list.csv", "--root", "/", *out, *where)
        (tmp_path / "list.csv").unlink()
        assert done.returncode == 3, done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert not holders(tmp_path)
        assert not files.with_secret
        assert (engine == "ray") == any(path.suffix == ".log" for path in files.seen)
        assert not list(rays.rglob("*.log"))  # Ray's folder is gone
    finally:
        shutil.rmtree(rays)
    rows = len({public_address(planted) for planted in PLANTED})
    assert f"{rows} failed" in done.stdout

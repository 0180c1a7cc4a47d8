"""Checkpoints whose metadata was changed at random, and a process that tries to load them all."""

import contextlib
import copy
import functools
import io
import json
import os
import random
import resource
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from models.checkpoint import KEY

BASES = ("whisper, offset", "whisper, mixed", "tdnn", "acnt", "gap_cnn", "ast", "hf")
FREE = ("recipe", "metrics", "made_with", "note", "report", "licence")  # no size depends on them
HARMLESS = (None, [], {})  # which some fields may have
VALUES: tuple[Any, ...] = (
    *HARMLESS, True, "", "ten", "9" * 300_000, "\ud800", [[]], ["x"] * 2_000, {"x": {}},
    0, -1, 0.5, -0.5, 10**5, 10**7, -(10**7), 10**12, 10**300, 10**400, 1e-300, 1e300,
    float("nan"), float("inf"), -float("inf"),
)  # fmt: skip
MEMORY_BYTES = 1_000_000_000
CPU_S = 5
MARK = "result "


@dataclass(frozen=True)
class Attempt:
    """What `predict` did with one checkpoint, in a process of its own."""

    name: str
    status: int  # below zero: ended by that signal
    grown_bytes: int  # of memory
    cpu_s: float
    errors: str  # on standard error

    @property
    def orderly(self) -> bool:
        """Whether it was refused, or scored, within the limits and without a traceback."""
        small = self.grown_bytes < MEMORY_BYTES and self.cpu_s < CPU_S
        return self.status in (0, 2) and "Traceback" not in self.errors and small


def places(metadata: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all values of metadata on which memory or scores may depend."""
    if path:
        yield path
    if isinstance(metadata, dict):
        for key in metadata:
            if path or key not in FREE:
                yield from places(metadata[key], (*path, key))


def changed(metadata: dict[str, Any], draw: random.Random) -> tuple[str, dict[str, Any]]:
    """Metadata with a value replaced by one that no program writes there, and what it is."""
    found = copy.deepcopy(metadata)
    *above, key = draw.choice(sorted(places(metadata)))
    before = _parent(metadata, above)[key]
    while (value := draw.choice(VALUES)) == before and type(value) is type(before):
        pass
    _parent(found, above)[key] = value
    if "extractor" in above:  # which is stored twice
        for twice in ("settings", "front_end_settings"):
            found[twice]["extractor"][key] = value
    return f"{'.'.join((*above, key))} = {ascii(value)[:40]}", found


def _parent(metadata: dict[str, Any], path: Sequence[str]) -> Any:
    return functools.reduce(lambda inner, key: inner[key], path, metadata)


def write_changed(base: Path, folder: Path, count: int, seed: int) -> dict[str, str]:
    """Copies of a checkpoint, each with other metadata; what was changed, by file name."""
    metadata, draw, made = metadata_of(base), random.Random(seed), {}
    for number in range(count):
        what, values = changed(metadata, draw)
        name = f"{base.stem}-{number}.safetensors"
        rewrite(base, folder / name, values)
        made[name] = f"{metadata['architecture']}: {what}"
    return made


def metadata_of(path: Path) -> dict[str, Any]:
    """A checkpoint's metadata, as it is stored."""
    with safe_open(path, framework="pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()[KEY])
    return found


def rewrite(base: Path, path: Path, metadata: object, **tensors: torch.Tensor) -> Path:
    """A copy of a checkpoint with other metadata, or with some other tensors."""
    save_file(load_file(base) | tensors, path, metadata={KEY: json.dumps(metadata)})
    return path


def attempts(checkpoints: Path, recording: Path) -> list[Attempt]:
    """Try every checkpoint of a folder, each in a fork of one process that has loaded all code."""
    command = [sys.executable, __file__, str(checkpoints), str(recording)]
    # else tests/models, in the folder of this script, would hide the package models
    packages = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=packages)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    return [Attempt(**json.loads(line.removeprefix(MARK))) for line in lines]


def _in_a_fork(action: Callable[[], None], errors: Path) -> tuple[int, int, float]:
    """Status, growth in bytes and CPU seconds of an action."""
    pages = [int(each) for each in Path("/proc/self/statm").read_text().split()]
    space, before = (each * resource.getpagesize() for each in pages[:2])
    child = os.fork()
    if child == 0:
        limit = space + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        status = 1
        with errors.open("w") as file, contextlib.redirect_stderr(file):
            try:
                action()
            except SystemExit as end:
                status = int(end.code or 0)
            except BaseException:
                traceback.print_exc()
        os._exit(status)
    _, ended, usage = os.wait4(child, 0)
    grown = max(0, usage.ru_maxrss * 1024 - before)
    return os.waitstatus_to_exitcode(ended), grown, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Try every checkpoint of the folder, and print a line for each."""
    folder, recording = Path(sys.argv[1]), sys.argv[2]
    import transformers

    from jobs import predict  # noqa: F401
    from jobs.cli import app

    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    errors = folder / "errors.txt"
    for path in sorted(folder.glob("*.safetensors")):

        def action(path: Path = path) -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                app(["predict", "--segment", "whole", "--model", str(path), recording])

        status, grown, cpu_s = _in_a_fork(action, errors)
        found = Attempt(path.name, status, grown, cpu_s, errors.read_text())
        print(MARK + json.dumps(found.__dict__))


if __name__ == "__main__":
    main()

"""The processes that a job starts, as /proc shows them."""

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

LISTENING = "0A"


def descendants(root: int) -> dict[int, str]:
    """The processes below one, with their command lines."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        if (fields := _stat(int(process.name))) is not None:
            parents[int(process.name)] = int(fields[1])
    found = {root}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return {process: command(process) for process in found - {root}}


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def alive(processes: Iterable[int]) -> set[int]:
    """Those that have not ended."""
    return {each for each in processes if (fields := _stat(each)) and fields[0] != "Z"}


def ended(processes: Iterable[int], within_s: float) -> set[int]:
    """Wait until all have ended; those that have not."""
    until = time.monotonic() + within_s
    while (left := alive(processes)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def addresses(processes: Iterable[int]) -> set[str]:
    """The addresses at which processes listen for TCP."""
    sockets = {inode for process in processes for inode in _sockets(process)}
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in sockets:
                found.add(_address(fields[1].partition(":")[0]))
    return found


def _address(text: str) -> str:
    words = struct.pack(f"={len(text) // 8}I", *(int(text[i : i + 8], 16) for i in _eights(text)))
    family = socket.AF_INET if len(words) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, words)


def _eights(text: str) -> range:
    return range(0, len(text), 8)


def _sockets(process: int) -> Iterator[str]:
    try:
        for each in Path(f"/proc/{process}/fd").iterdir():
            target = str(each.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]
    except OSError:  # it has ended
        return


def _stat(process: int) -> list[str] | None:
    """The fields of a process from its state on."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None

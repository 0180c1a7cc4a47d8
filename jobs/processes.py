"""Which process a number means: numbers are used again, by each boot and each container."""

import contextlib
import os
from pathlib import Path

ENDED = "ZX"  # states of processes that wait to be forgotten


def machine() -> str:
    """This boot of this machine, as far as numbers of processes mean the same; else empty."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def started(pid: int) -> str | None:
    """When a process of this machine started, in its own unit; empty if not known, None if none."""
    try:
        # the name of the program, in brackets, may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "" if _exists(pid) else None
    return None if fields[0] in ENDED else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

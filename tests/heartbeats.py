"""Heartbeats as other processes write them."""

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from jobs.processes import machine, started


def stated(process: subprocess.Popen[bytes], **changes: Any) -> dict[str, Any]:
    """What the heartbeat of another process states, with changes."""
    return {
        "token": "other",
        "host": socket.gethostname(),
        "machine": machine(),
        "pid": process.pid,
        "started": started(process.pid),
        "since": "2026-11-29T01:02:03+00:00",
        "beat": time.time(),
    } | changes


def write_heartbeat(work: Path, content: object) -> Path:
    """Make the heartbeat of a working folder; a text is its content as it is."""
    work.mkdir(exist_ok=True)
    path = work / "driver.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path

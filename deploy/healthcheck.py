"""Whether the container is healthy: `serve` answers on /health; other commands always are."""

import sys
import urllib.request
from pathlib import Path

PORT = 8_000
TIMEOUT_S = 5.0


def port_of(arguments: list[str]) -> int | None:
    """The port of `batch-ser serve`; None: another command."""
    if "serve" not in arguments:
        return None
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if option == "--port":
            return int(value)
        if option.startswith("--port="):
            return int(option.partition("=")[2])
    return PORT


def main() -> None:
    """Exit with status 0 if process 1 is no server, or one that answers."""
    port = port_of(Path("/proc/1/cmdline").read_text().split("\0"))
    if port is not None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT_S) as answer:
            sys.exit(0 if answer.status == 200 else 1)


if __name__ == "__main__":
    main()

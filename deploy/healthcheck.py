"""Whether the container is healthy: `serve` answers on /health; other commands always are."""

import os
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


def token_of(arguments: list[str]) -> str:
    """The token of `batch-ser serve`, from where it has it."""
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, own = option.partition("=")
        if name == "--token-file":
            return Path(own or value).read_text().strip()
    return os.environ.get("BATCH_SER_TOKEN", "").strip()


def main() -> None:
    """Exit with status 0 if process 1 is no server, or one that answers."""
    arguments = Path("/proc/1/cmdline").read_text().split("\0")
    port = port_of(arguments)
    if port is not None:
        headers = {"Authorization": f"Bearer {token_of(arguments)}"}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/health", headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            sys.exit(0 if answer.status == 200 else 1)


if __name__ == "__main__":
    main()

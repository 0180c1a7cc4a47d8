"""The options of `batch-ser serve`, checked once."""

import ipaddress
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from batch_ser.audio import MIX, Reading, normal_choice
from batch_ser.errors import UsageError
from jobs.predict import PredictConfig

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
EXTRA = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
PAGE = ("gradio",)
# padded seconds of audio that one request has in the queue at a time: short, so that a long
# recording does not hold up the short ones of others
CHILD_BATCH_S = 16.0


@dataclass(frozen=True)
class ServeConfig:
    """The options of `batch-ser serve`.

    Raises:
        UsageError: one is out of its range, or another machine could connect without a token.
    """

    model: str = "accurate"
    device: str = "cpu"
    adapt_from: str | None = None
    expect: str | None = None
    channels: str = MIX  # where a request names none
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: Sequence[str] = ()
    token: str | None = field(default=None, repr=False)
    max_megabytes: float = 100.0
    max_minutes: float = 30.0
    max_requests: int = 64
    timeout_s: float = 300.0
    has_page: bool = True
    has_access_log: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", normal_choice(self.channels))
        for option, value in (
            ("--max-mb", self.max_megabytes),
            ("--max-minutes", self.max_minutes),
            ("--timeout-s", self.timeout_s),
            ("--max-requests", self.max_requests),
        ):
            if not 0 < value < math.inf:
                raise UsageError(f"{option} {value:g}: expected more than 0")
        if not 0 <= self.port < 65_536:
            raise UsageError(f"--port {self.port}: expected 0 (any free one) to 65535")
        if not self.host:
            raise UsageError("--host: found nothing, expected an address of this machine")
        if is_loopback(self.host):
            return
        if self.token is None:
            raise UsageError(
                f"--host {self.host}: other machines can connect; expected a token, by "
                "--token-file or the variable BATCH_SER_TOKEN"
            )
        if self.host in ("0.0.0.0", "::") and not self.allowed_hosts:
            raise UsageError(
                f"--host {self.host}: every address of this machine; expected --allow-host NAME, "
                "the name or address by which the others reach it"
            )

    @property
    def max_bytes(self) -> int:
        """The largest upload."""
        return round(self.max_megabytes * 1e6)

    @property
    def processes(self) -> int:
        """How many recordings are decoded at a time: some wait for scores meanwhile."""
        return min(self.max_requests, 4 * (os.cpu_count() or 1))

    @property
    def host_names(self) -> frozenset[str]:
        """What a request's Host header may name, without the port."""
        names = (*LOOPBACK, *map(bracketed, (self.host, *self.allowed_hosts)))
        return frozenset(map(str.lower, names))

    def prediction(self) -> PredictConfig:
        """The options of `predict` with which every upload is scored."""
        return PredictConfig(
            model=self.model,
            device=self.device,
            reading=Reading(max_hours=self.max_minutes / 60),
            expect=self.expect,
            adapt_from=self.adapt_from,
            with_segments=True,
            batch_s=CHILD_BATCH_S,
        )


def is_loopback(host: str) -> bool:
    """Whether a host to listen on can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bracketed(host: str) -> str:
    """A host as addresses on the web have it: of IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def check_extra(*, page: bool) -> None:
    """Check that the packages of the extra `serve` are installed.

    Raises:
        UsageError: one is missing.
    """
    missing = [name for name in EXTRA + (PAGE if page else ()) if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"found no package {', '.join(missing)}; expected those of the extra serve: "
            "pip install 'batch-ser[serve]'"
        )

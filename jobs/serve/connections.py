"""Connections within bounds: how many, and how long one may take until a request has its headers.

uvicorn (0.54) has no such bounds: who never ends a header keeps a connection, without a token too,
and without descriptors asyncio (3.11) logs thousands of lines a second, and nobody is answered.
"""

import asyncio
import resource

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 20.0


def most_connections() -> int:
    """At a time: half of what this process may open; the others are files and child processes."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


class Connection(H11Protocol):
    """A connection that ends where a request is too slow, or at once where there are too many."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            transport.abort()
        else:
            self._bound()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._bound()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unbound()

    def _bound(self) -> None:
        """Start the time of a request without headers, or of the rest of one that was answered."""
        is_answered = self.cycle is not None and self.cycle.response_complete
        if self.conn.their_state is not h11.IDLE and not is_answered:
            self._unbound()
        elif self._timer is None:
            self._timer = self.loop.call_later(REQUEST_S, self.transport.close)

    def _unbound(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

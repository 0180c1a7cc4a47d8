"""The body of a request as it comes, and what is done with the rest of one that is refused."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
DRAIN_BYTES, DRAIN_S = 16_000_000, 2.0


class Body:
    """The messages of a body; after the last, a server's own `receive` waits for the client."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._has_ended = self._has_ended or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read and drop what a client still sends, within bounds: else many lose the answer.

        A connection that is closed with bytes unread is reset.
        """
        left = DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while left > 0 and not self._has_ended:
                    left -= len((await self()).get("body", b""))

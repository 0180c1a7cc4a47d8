"""Connections that send no whole request, and more of them than there may be."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from servers import need_extra

need_extra()
import uvicorn  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

from jobs.serve import connections  # noqa: E402

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
LONGEST_S = 60
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


async def application(_: Any, receive: Any, send: Any) -> None:
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@asynccontextmanager
async def listening() -> AsyncIterator[Connect]:
    config, state = uvicorn.Config(application, log_config=None), ServerState()
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: connections.Connection(config, state, {}), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    writers = []

    async def connect() -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    async with server:
        yield connect
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def has_ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), LONGEST_S) == b""
    except ConnectionError:
        return True


def test_a_connection_without_a_request_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its headers are whole; and not while a body comes, however slowly."""

    async def run() -> None:
        async with listening() as connect:
            reader, writer = await connect()
            writer.write(HEAD + b"1")
            await asyncio.sleep(0.1)
            monkeypatch.setattr(connections, "REQUEST_S", 0.01)
            for sent in (b"", HEAD[:20]):
                slow, to = await connect()
                to.write(sent)
                assert await has_ended(slow)
            writer.write(b"2")
            assert b"204" in await asyncio.wait_for(reader.readline(), LONGEST_S)

    asyncio.run(run())


def test_more_connections_than_there_may_be_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "most_connections", lambda: 1)

    async def run() -> None:
        async with listening() as connect:
            reader, writer = await connect()
            assert await has_ended((await connect())[0])
            writer.write(HEAD + b"12")
            assert b"204" in await asyncio.wait_for(reader.readline(), LONGEST_S)

    asyncio.run(run())

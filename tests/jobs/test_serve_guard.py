"""Requests that meet a slow client, a full disk or the end of the server, without a network."""

import asyncio
import logging
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from servers import need_extra

need_extra()
from starlette.requests import Request  # noqa: E402

from jobs.serve import ServeConfig  # noqa: E402
from jobs.serve.access_log import WithoutNames  # noqa: E402
from jobs.serve.body import Body  # noqa: E402
from jobs.serve.guard import Guard  # noqa: E402
from jobs.serve.metrics import Metrics  # noqa: E402
from jobs.serve.refusals import Refused  # noqa: E402
from jobs.serve.scoring import Scoring  # noqa: E402

Message = MutableMapping[str, Any]
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/predict",
    "query_string": b"",
    "headers": [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")],
}


class Client:
    """What a server's own `receive` returns: the parts of a body, and then nothing more comes."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = list(parts)

    async def __call__(self) -> Message:
        assert self._parts, "waits for a client that has sent everything"
        part = self._parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self._parts)}


def test_the_rest_of_a_body_is_read_and_then_nothing_is_waited_for() -> None:
    """By a server it would be until the client ends the connection, or for 2 s."""

    async def drained(body: Body) -> None:
        await body()
        await body.drain()
        await body.drain()

    for client in (Client(b"1"), Client(b"1", b"2", b"3")):
        asyncio.run(drained(Body(client)))
        assert not client._parts


def test_a_full_disk_is_a_reason_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, counted, and nothing is left."""
    metrics, config = Metrics("m", "1"), ServeConfig()
    scoring = Scoring(config, None, metrics, tmp_path)  # type: ignore[arg-type]
    path_open = Path.open
    monkeypatch.setattr(Path, "open", lambda *_: path_open(Path("/dev/full"), "wb"))
    for content in (b"short", bytes(1_000_000)):
        request = Request(SCOPE, Client(HEAD + content, b"\r\n--x--"))
        with pytest.raises(Refused, match="TMPDIR") as refused:
            asyncio.run(scoring.of_request(request, "mix"))
        assert (refused.value.status, refused.value.reason) == (507, "no_space")
    assert b'requests_total{outcome="no_space"} 2.0' in metrics.as_text()
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_program_is_counted(tmp_path: Path) -> None:
    metrics = Metrics("m", "1")
    scoring = Scoring(ServeConfig(), None, metrics, tmp_path / "none")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        asyncio.run(scoring.of_request(Request(SCOPE, Client(HEAD)), "mix"))
    assert b'requests_total{outcome="internal_error"} 1.0' in metrics.as_text()


def test_a_request_that_the_end_of_the_server_meets_is_answered() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def ended() -> None:
        guard = Guard(lambda *_: asyncio.sleep(60), ServeConfig())
        task = asyncio.create_task(guard(SCOPE, Client(b""), send))
        await asyncio.sleep(0)
        task.cancel()
        await task

    asyncio.run(ended())
    assert [each.get("status") for each in sent] == [503, None]
    assert b"stopping" in sent[1]["body"]


def test_uploads_to_the_page_are_bounded_in_time_and_number() -> None:
    """The first never arrives, and takes the only place meanwhile."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def both() -> None:
        guard = Guard(lambda *_: asyncio.sleep(60), ServeConfig(max_requests=1, timeout_s=0.2))
        scope = SCOPE | {"path": "/gradio_api/upload"}
        slow = asyncio.create_task(guard(scope, Client(b""), send))
        await asyncio.sleep(0)
        await guard(scope, Client(b""), send)
        await slow

    asyncio.run(both())
    assert [each["status"] for each in sent if "status" in each] == [429, 408]


def test_an_error_of_the_page_is_not_called_a_slow_upload() -> None:
    async def failing(*_: object) -> None:
        raise TimeoutError("of another kind")

    async def send(_: Message) -> None:
        """Nothing."""

    with pytest.raises(TimeoutError, match="of another kind"):
        asyncio.run(
            Guard(failing, ServeConfig())(SCOPE | {"path": "/gradio_api/upload"}, Client(b""), send)
        )


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/predict?token=abc", "/predict"),
        ("/gradio_api/file%3D/tmp/x/private.wav", "/gradio_api/file%3D..."),
        ("/gradio_api/file=/tmp/x/private.wav", "/gradio_api/file=..."),
    ],
)
def test_names_of_uploads_are_not_logged(address: str, shown: str) -> None:
    arguments = ("127.0.0.1:1", "GET", address, "1.1", 200)
    record = logging.LogRecord("a", logging.INFO, "", 0, "%s %s %s %s %s", arguments, None)
    assert WithoutNames().filter(record)
    assert record.getMessage() == f"127.0.0.1:1 GET {shown} 1.1 200"

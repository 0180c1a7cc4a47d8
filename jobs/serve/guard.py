"""What every request passes first: Host, origin, token, and whether its route is known."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect

from jobs.serve.access_token import is_authorised
from jobs.serve.body import Body, Message, Receive
from jobs.serve.page_routes import OWN, is_known
from jobs.serve.page_uploads import PageUploads
from jobs.serve.refusals import STOPPING, Refused, method_not_allowed, of_status, too_large
from jobs.serve.serve_config import ServeConfig

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# nothing is loaded from elsewhere, and no other site can put the page into a frame; the page needs
# inline scripts and styles, and workers
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self' data: blob:; "
    "frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STORED_NOWHERE = {"Cache-Control": "no-store"}
CHALLENGE = {"WWW-Authenticate": 'Basic realm="batch-ser", charset="UTF-8"'}


class Guard:
    """An ASGI application in front of another."""

    def __init__(self, app: App, config: ServeConfig) -> None:
        self._app = app
        self._hosts = config.host_names
        self._token = config.token
        self._max_bytes = config.max_bytes
        self._page_uploads = PageUploads(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        # a web socket gets no answer: uvicorn closes it

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, has_begun = Body(receive), False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                if (b"connection", b"close") in (headers := list(message.get("headers", ()))):
                    await body.drain()
                message["headers"] = [*headers, *_encoded(HEADERS)]
            await send(message)

        if scope["method"] == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        refused = self._refused(scope)
        if refused:
            await body.drain()
            await refuse(refused, send_with_headers)
            return
        try:
            async with self._page_uploads.bounded(scope["path"]):
                await self._app(scope, body, send_with_headers)
        except Refused as bound:
            if not has_begun:
                await refuse(bound, send_with_headers)
        except asyncio.CancelledError:  # the server ends, and the time for what runs is over
            if has_begun:
                raise
            await refuse(STOPPING, send_with_headers)
        except ClientDisconnect:  # nobody waits for an answer
            pass

    def _refused(self, scope: Scope) -> Refused | None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            return Refused(
                421, "wrong_host", "the Host header names another host (see --allow-host)"
            )
        if _is_of_another_site(scope, hosts[0]):
            return Refused(403, "cross_origin", "a request from a page of another site")
        authorisation = _last(headers, b"authorization")
        if self._token is not None and not is_authorised(authorisation, self._token):
            return Refused(
                401,
                "unauthorised",
                "expected the header Authorization: Bearer TOKEN; a browser may give the token as "
                "its password",
                CHALLENGE,
            )
        return _refused_route(scope, self._max_bytes)


FORM_BYTES = 10_000  # of an upload's body, beside its file


def _refused_route(scope: Scope, max_bytes: int) -> Refused | None:
    path, method = scope["path"], scope["method"]
    if not is_known(path):
        return of_status(404)
    if method != OWN.get(path, method):  # the page's routes would answer in another form
        return method_not_allowed(OWN[path])
    if path not in OWN and _last(scope["headers"], b"transfer-encoding") is not None:
        return of_status(411)  # Gradio bounds each file, and not all together
    length = _last(scope["headers"], b"content-length") or b"0"
    if not length.isdigit() or int(length) > max_bytes + FORM_BYTES:
        return too_large(max_bytes)
    return None


async def refuse(refused: Refused, send: Send) -> None:
    """Send a refusal without any framework."""
    body = refused.as_bytes()
    own = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    headers = _encoded(own | refused.headers | STORED_NOWHERE)
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _last(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for each, value in reversed(headers) if each == name), None)


def _name(netloc: bytes) -> str:
    """The host of a Host header, without its port."""
    host, colon, port = netloc.decode("latin-1").lower().rpartition(":")
    return host if colon and port.isdigit() else netloc.decode("latin-1").lower()


def _is_of_another_site(scope: Scope, host: bytes) -> bool:
    """Whether a page of another site makes a browser send this request.

    Its scheme is not compared: a proxy in front may add TLS. A link there to the page is no such
    request.
    """
    origin = _last(scope["headers"], b"origin")
    if origin is not None:
        return origin.partition(b"://")[2].lower() != host.lower()
    site = _last(scope["headers"], b"sec-fetch-site") or b"none"
    mode = _last(scope["headers"], b"sec-fetch-mode")
    is_link = scope["method"] == "GET" and mode == b"navigate"
    return site not in (b"none", b"same-origin") and not is_link

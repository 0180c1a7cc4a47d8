"""A server in front of an object store that answers some requests with faults."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

NOT_FORWARDED = {"connection", "transfer-encoding", "content-length", "server", "date"}


class Answer(NamedTuple):
    """What the store behind answers."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    size: str | None  # as announced; of HEAD without a body


class Handler(BaseHTTPRequestHandler):
    """One connection; requests go to the store behind, unless there is a fault for them."""

    protocol_version = "HTTP/1.1"
    store: "FaultyStore"

    def handle_request(self) -> None:
        size = int(self.headers["Content-Length"] or 0)
        self.sent = self.rfile.read(size)
        if len(self.sent) < size:  # the client was killed; the store behind would wait for the rest
            self.close_connection = True
            return
        fault = self.store.fault_of(self.command, unquote(self.path))
        if fault:
            fault(self)
        else:
            self.send(self.forward())

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_request

    def forward(self) -> Answer:
        """The answer of the store behind."""
        with closing(http.client.HTTPConnection(self.store.behind, timeout=60)) as behind:
            behind.request(self.command, self.path, self.sent, dict(self.headers.items()))
            found = behind.getresponse()
            kept = [each for each in found.getheaders() if each[0].lower() not in NOT_FORWARDED]
            return Answer(found.status, kept, found.read(), found.getheader("Content-Length"))

    def send(self, answer: Answer, body: bytes | None = None) -> None:
        """Send an answer, whole or with less of its body."""
        self.begin(answer)
        if self.command != "HEAD":
            self.wfile.write(answer.body if body is None else body)

    def begin(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        size = answer.size if self.command == "HEAD" else str(len(answer.body))
        self.send_header("Content-Length", size or "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


Fault = Callable[[Handler], None]


@dataclass
class FaultyStore:
    """Faults of requests, by their method and a part of their path; each a number of times."""

    behind: str  # host:port
    address: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)  # that came
    _faults: list[tuple[str, str, list[Fault]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, part: str, fault: Fault, times: int = 10_000, method: str = "GET") -> None:
        self._faults.append((method, part, [fault] * times))

    def fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append((method, path))
            for wanted, part, left in self._faults:
                if left and part in path and wanted in (method, "any"):
                    return left.pop()
        return None


@contextmanager
def faulty_store(server: str) -> Iterator[FaultyStore]:
    """In front of the store at an address."""
    store = FaultyStore(urlsplit(server).netloc)

    class Mine(Handler):
        pass

    Mine.store = store
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    listening.daemon_threads = True
    listening.handle_error = lambda *_: None  # type: ignore[method-assign]
    store.address = f"http://127.0.0.1:{listening.server_port}"
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield store
    listening.shutdown()
    listening.server_close()


def answers(status: int, code: str, secret: str = "") -> Fault:
    """An error of the store, which repeats what it was asked."""

    def fault(handler: Handler) -> None:
        body = f"<Error><Code>{code}</Code><Message>{secret}</Message></Error>".encode()
        handler.send(Answer(status, [("Content-Type", "application/xml")], body, str(len(body))))

    return fault


def cut(share: float) -> Fault:
    """The connection ends in the middle of a body."""

    def fault(handler: Handler) -> None:
        answer = handler.forward()
        handler.send(answer, answer.body[: round(len(answer.body) * share)])
        handler.close_connection = True

    return fault


def drops(handler: Handler) -> None:
    """The connection ends without an answer."""
    handler.close_connection = True


def silent(for_s: float) -> Fault:
    """No answer for a while, and then none either."""

    def fault(handler: Handler) -> None:
        time.sleep(for_s)
        handler.close_connection = True

    return fault


def content(body: bytes, *headers: tuple[str, str]) -> Fault:
    """An answer that does not come from the store behind."""

    def fault(handler: Handler) -> None:
        handler.send(Answer(200, list(headers), body, str(len(body))))

    return fault


def stalls(for_s: float) -> Fault:
    """Half of a body, and then nothing for a while."""

    def fault(handler: Handler) -> None:
        answer = handler.forward()
        handler.send(answer, answer.body[: len(answer.body) // 2])
        handler.wfile.flush()
        time.sleep(for_s)
        handler.close_connection = True

    return fault


def drips(bytes_per_s: float) -> Fault:
    """The body comes a few bytes at a time."""

    def fault(handler: Handler) -> None:
        answer = handler.forward()
        handler.begin(answer)
        for each in answer.body:
            handler.wfile.write(bytes([each]))
            time.sleep(1 / bytes_per_s)

    return fault


def after(act: Callable[[], object]) -> Fault:
    """Something happens in front of a request, which is answered as ever."""

    def fault(handler: Handler) -> None:
        act()
        handler.send(handler.forward())

    return fault

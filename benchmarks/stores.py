"""Object stores: objects a second while listing, and while reading small ones.

`python benchmarks/stores.py` writes a section of docs/results.md. Servers run on this
machine: moto, which sorts all keys of a bucket for every page, and a minimal one, which answers
from memory.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from results import write_section

from batch_ser.inputs import InputFile, Walk
from jobs.worker import Fetching

sys.path.append(str(Path(__file__).parent.parent / "tests"))
from object_stores import environment, make_bucket, s3_server

LISTED, READ = 100_000, 2_000
PAGE = 1_000
BYTES = 20_000  # of an object: a short call of 2 s
IN_FLIGHT = (1, 8, 32)
DATE = datetime(2026, 1, 1, tzinfo=UTC)
ROUND_TRIP_S = 0.02  # that a store takes to answer, as in a region nearby


class Minimal(BaseHTTPRequestHandler):
    """Lists keys by ListObjectsV2, and gives every object the same bytes, after a round trip."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    keys = tuple(f"calls/{number:06}.wav" for number in range(LISTED))

    def do_GET(self) -> None:
        time.sleep(ROUND_TRIP_S)
        query = parse_qs(urlsplit(self.path).query)
        self._answer(self._page(query) if "list-type" in query else bytes(BYTES))

    def do_HEAD(self) -> None:
        """Of the prefix, which is no object."""
        self.send_response(404)
        self.end_headers()

    def _page(self, query: dict[str, list[str]]) -> bytes:
        start = int(query.get("continuation-token", ["0"])[0])
        keys = self.keys[start : start + PAGE]
        more = start + PAGE < len(self.keys)
        entries = "".join(
            f"<Contents><Key>{key}</Key><LastModified>{DATE:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f'<ETag>"1"</ETag><Size>{BYTES}</Size></Contents>'
            for key in keys
        )
        token = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
        return f"{text}</ListBucketResult>".encode()

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", self.date_time_string(DATE.timestamp()))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def minimal_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Minimal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def listing(address: str) -> tuple[int, float]:
    """Objects, and how many a second."""
    started = time.monotonic()
    count = sum(1 for _ in Walk((address,)))
    return count, count / (time.monotonic() - started)


def reading(files: list[InputFile], in_flight: int) -> float:
    """Objects a second."""
    started, fetching = time.monotonic(), Fetching(files, in_flight)
    for number in range(len(files)):
        with fetching.local(number) as file:
            assert os.path.getsize(file.path) == BYTES
    return len(files) / (time.monotonic() - started)


def measure(server: str, address: str) -> list[str]:
    """A row of the table for each measurement."""
    os.environ.update(environment(server))
    count, speed = listing(f"{address}/calls")
    rows = [f"{speed:,.0f} ({count:,})"]
    files = [InputFile(f"{n}", f"{address}/calls/{n:06}.wav", BYTES) for n in range(READ)]
    return rows + [f"{reading(files, in_flight):,.0f}" for in_flight in IN_FLIGHT]


def moto_bucket(server: str) -> str:
    from batch_ser.storage import in_order, open_folder

    os.environ.update(environment(server))
    address = make_bucket(server, "benchmark")
    folder = open_folder(address)

    def put(number: int) -> None:
        folder.write(f"calls/{number:06}.wav", bytes(BYTES))

    for _ in in_order((partial(put, number) for number in range(READ)), 8):
        pass
    return address


def main() -> None:
    with minimal_server() as server:
        minimal = measure(server, "s3://bucket")
    with s3_server() as server:
        moto = measure(server, moto_bucket(server))
    header = " | ".join(f"reading {READ:,}, {n} in flight" for n in IN_FLIGHT)
    lines = [
        f"| objects a second, of {BYTES / 1000:.0f} kB | listing (objects) | {header} |",
        f"|{'---|' * (2 + len(IN_FLIGHT))}",
        f"| a minimal server, answers after {1000 * ROUND_TRIP_S:.0f} ms | {' | '.join(minimal)} |",
        f"| moto, which is the limit here | {' | '.join(moto)} |",
    ]
    write_section("Object stores", "python benchmarks/stores.py", lines)


if __name__ == "__main__":
    main()

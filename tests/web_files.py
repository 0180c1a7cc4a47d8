"""A web server on this machine that wants signed addresses, as object stores make them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

SIGNATURE = "signature=Geh31m"


class _Handler(BaseHTTPRequestHandler):
    """Gives files to those who sign for reading; not for HEAD, as signed addresses are."""

    root: Path

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        path = self.root / unquote(place.path).lstrip("/")
        if place.query != SIGNATURE:
            self.send_error(403)
        elif not path.is_file():
            self.send_error(404)
        else:
            data = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
            self.end_headers()
            self.wfile.write(data)

    def do_HEAD(self) -> None:
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@contextmanager
def web_server(root: Path) -> Iterator[str]:
    """The address of a server of the files below a folder."""
    handler = type("Handler", (_Handler,), {"root": root})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

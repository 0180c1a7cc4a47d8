"""Messages between the server and the process of a request: JSON and arrays of float32.

Nothing is unpickled: a recording may have taken over the process that decodes it.
"""

import json
import socket
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Sequence[NDArray[np.float32]]
Message = tuple[dict[str, Any], list[NDArray[np.float32]]]
SIZES = struct.Struct("<II")  # bytes of the JSON text, and of the arrays
MOST_BYTES = 256_000_000  # of one message
SHAPES = "shapes"


class BadMessage(Exception):
    """What came is no message."""


def send(to: socket.socket, content: dict[str, Any], arrays: Arrays = ()) -> None:
    """Send a message."""
    shapes = [each.shape for each in arrays]
    text = json.dumps(content | {SHAPES: shapes}).encode()
    data = b"".join(np.ascontiguousarray(each, np.float32).tobytes() for each in arrays)
    to.sendall(SIZES.pack(len(text), len(data)) + text + data)


def receive(source: socket.socket) -> Message | None:
    """The next message; None after the last.

    Raises:
        TimeoutError: it takes longer than the socket's time.
        BadMessage: something else came, or it is too large.
    """
    sizes = _read(source, SIZES.size)
    if not sizes:
        return None
    text_bytes, data_bytes = SIZES.unpack(sizes)
    if text_bytes + data_bytes > MOST_BYTES:
        raise BadMessage(f"{text_bytes + data_bytes:,} bytes, expected {MOST_BYTES:,} at most")
    text, data = _read(source, text_bytes), _read(source, data_bytes)
    try:
        content = json.loads(text)
        return content, _arrays(content.pop(SHAPES), data)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadMessage(str(error)) from error


def _arrays(shapes: list[list[int]], data: bytearray) -> list[NDArray[np.float32]]:
    values, arrays, at = np.frombuffer(data, np.float32), [], 0
    for shape in shapes:
        size = int(np.prod(shape, dtype=object))
        if min(shape) < 0 or at + size > len(values):
            raise BadMessage("shapes that do not fit")
        arrays.append(values[at : at + size].reshape(shape))
        at += size
    if at != len(values):
        raise BadMessage("shapes that do not fit")
    return arrays


def _read(source: socket.socket, count: int) -> bytearray:
    """Exactly so many bytes; none where the other side has closed it before the first."""
    parts = bytearray()
    while len(parts) < count:
        try:
            part = source.recv(min(count - len(parts), 1 << 20))
        except ConnectionError:
            part = b""
        if not part:
            if parts:
                raise BadMessage("it ends early")
            break
        parts += part
    return parts  # not bytes: torch wants arrays that could be written to

"""Uploads decoded in child processes, and their segments scored here, by the batcher.

A child has one upload at a time. After one without a fault it waits for the next; else it ends.
"""

import contextlib
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from pathlib import Path
from typing import Any

from batch_ser.errors import Incomplete, Reason
from jobs.batcher import Batcher
from jobs.serve.fork_server import READY, ForkServerConfig
from jobs.serve.messages import BadMessage, Message, receive, send
from jobs.serve.preview import checked
from jobs.serve.serve_config import ServeConfig

START_S = 600.0  # of the fork server, whose imports may come from a slow network drive
GRACE_S = 1.0  # after the time of a child, which ends itself
TRIES = 3  # to start a child: the fork server may end at any moment
MOST_DEATHS = 2  # of children at one upload: one may be killed for reasons outside it
COMMAND = "from jobs.serve.fork_server import main; main()"


class Children:
    """The child processes of a server, and the fork server that starts them."""

    def __init__(self, config: ServeConfig, batcher: Batcher) -> None:
        self._batcher = batcher
        self._timeout_s = config.timeout_s
        prediction = replace(config.prediction(), device="cpu")
        self._config = ForkServerConfig(prediction, config.timeout_s)
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []  # connections to children that wait for an upload
        self._is_closed = False
        self._start()

    def _start(self) -> None:
        """Start the fork server.

        Raises:
            Incomplete: it ends before it is ready.
        """
        # the packages of this process, and not those of the current folder; one thread, as a fork
        # has only the one that forks
        path = os.pathsep.join(filter(None, sys.path))
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", COMMAND, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                env=environment,
                pass_fds=[theirs.fileno()],
            )
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(pickle.dumps(self._config))
        if self._is_closed:  # meanwhile: its end may have found only the one before
            self._process.kill()
        self._control.settimeout(START_S)
        with contextlib.suppress(OSError):
            if self._control.recv(1) == READY:
                return
        self._end()
        raise Incomplete("the process that starts others for decoding did not start")

    def close(self) -> None:
        """End the fork server, and with it all children; no other is started."""
        self._is_closed = True
        self._end()

    def _end(self) -> None:
        self._close_idle()
        self._control.close()
        self._process.kill()
        self._process.wait()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def predict(
        self, path: Path, filename: str, channels: str, *, preview: bool = False
    ) -> dict[str, Any]:
        """The prediction of `batch-ser predict` for a file, under another name; with segments.

        With `preview`, under that name also the preview of a file without an error.
        """
        deaths = 0
        for _ in range(TRIES):
            if self._is_closed:
                break
            connection = self._child()
            found = self._prediction(connection, path, filename, channels, preview=preview)
            if found is None:
                self._forget_idle()
                continue
            has_died = found.get("error", {}).get("reason") == Reason.DECODER_CRASH
            deaths += has_died
            if not has_died or deaths == MOST_DEATHS:
                return found
        return _failure(filename, Reason.INTERNAL_ERROR, "no process to decode it could be started")

    def _prediction(
        self, connection: socket.socket, path: Path, filename: str, channels: str, *, preview: bool
    ) -> dict[str, Any] | None:
        """The prediction that a child makes; None if it did not begin: no fault of the file."""
        end = time.monotonic() + self._timeout_s + GRACE_S
        has_begun = goes_on = False
        request = {"path": str(path), "filename": filename, "channels": channels}
        try:
            send(connection, request | {"preview": preview})
            while message := self._next(connection, end):
                has_begun = True
                if "prediction" in message[0]:
                    prediction = _checked(message[0]["prediction"], filename, path)
                    if preview and "error" not in prediction:
                        prediction["preview"] = checked(message[0]["preview"])
                    if message[0]["goes_on"] is True:
                        self._idle.append(connection)
                        goes_on = True
                    return prediction
                if "embed" in message[0]:
                    self._score(connection, message, end)
        except (BadMessage, ConnectionError, KeyError, ValueError):
            pass  # no message: as one whose process has ended
        except (TimeoutError, FutureTimeoutError):
            end = 0.0
        finally:
            if not goes_on:
                connection.close()  # and with it the child ends
        if time.monotonic() > end - 2 * GRACE_S:
            text = f"not scored after {self._timeout_s:g} s (--timeout-s)"
            return _failure(filename, Reason.TIMEOUT, text)
        if not has_begun:
            return None
        return _failure(filename, Reason.DECODER_CRASH, "decoding ended its process")

    def _child(self) -> socket.socket:
        """The connection to a child that waits, or a new one, by a new fork server if need be."""
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        with self._lock:
            if not self.is_alive:
                self._end()
                self._start()
            own, theirs = socket.socketpair()
            with (
                theirs,
                contextlib.suppress(BrokenPipeError),
            ):  # it ends at this moment: the next tries
                socket.send_fds(self._control, [READY], [theirs.fileno()])
        return own

    def _forget_idle(self) -> None:
        """After a child did not begin: the fork server ends, and all children with it."""
        self._close_idle()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE_S)

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):  # others take some meanwhile
            while True:
                self._idle.pop().close()

    def _next(self, connection: socket.socket, end: float) -> Message | None:
        connection.settimeout(max(end - time.monotonic(), 0.001))
        return receive(connection)

    def _score(self, connection: socket.socket, message: Message, end: float) -> None:
        outputs = self._batcher.submit(message[1], embed=bool(message[0]["embed"]))
        probabilities, embeddings = outputs.result(max(end - time.monotonic(), 0.001))
        send(connection, {}, [probabilities, embeddings])


def _checked(prediction: object, filename: str, path: Path) -> dict[str, Any]:
    """A prediction, or a failure whose message has the upload's name and not that of its copy."""
    if not isinstance(prediction, Mapping):
        raise ValueError("no prediction")
    if "error" not in prediction:
        return dict(prediction)
    error = prediction["error"]
    message = str(error["message"]).replace(str(path), filename).replace(path.name, filename)
    return _failure(filename, Reason(error["reason"]), message)


def _failure(filename: str, reason: Reason, message: str) -> dict[str, Any]:
    return {"filename": filename, "error": {"reason": reason.value, "message": message}}

"""The process that starts one child for each request: a fork of itself, with all modules loaded.

A child decodes one upload and ends: what a recording does to its process, it does to its own
request alone. The fork takes some milliseconds, where a new process would import for seconds.
"""

import ctypes
import os
import pickle
import resource
import signal
import socket
import sys
from dataclasses import dataclass

from batch_ser.inputs import InputFile
from jobs.predict import PredictConfig, Predictor
from jobs.serve.messages import Arrays, BadMessage, receive, send
from models import load_checkpoint
from models.batching import Outputs

PR_SET_PDEATHSIG = 1
READY = b"."
CHILD_BYTES = 2_000_000_000  # of memory, beyond what the fork server has


@dataclass(frozen=True)
class ForkServerConfig:
    """What children do, and how long."""

    prediction: PredictConfig
    timeout_s: float


def main() -> None:
    """Fork a child for every socket that comes over the one on standard input."""
    _end_with_parent()
    config: ForkServerConfig = pickle.loads(sys.stdin.buffer.read())
    control = socket.socket(fileno=int(sys.argv[1]))
    os.dup2(2, 1)  # libraries may print
    import torch

    torch.set_num_threads(1)  # no threads: a fork has only the one that forks
    predictor = Predictor(load_checkpoint(config.prediction.model), config.prediction)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that ended are forgotten
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the server ends this process
    control.sendall(READY)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        with socket.socket(fileno=descriptors[0]) as connection:
            if os.fork() == 0:
                control.close()
                _child(connection, predictor, config.timeout_s)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _child(connection: socket.socket, predictor: Predictor, timeout_s: float) -> None:
    """Answer one request, and end the process, whatever happens."""
    try:
        _end_with_parent()
        _limit(timeout_s)
        _answer(connection, predictor)
    except (BrokenPipeError, BadMessage):  # the server has given it up
        pass
    except BaseException as error:
        sys.stderr.write(f"batch-ser: a request failed: {type(error).__name__}: {error}\n")
    finally:
        os._exit(0)


def _limit(timeout_s: float) -> None:
    """Bounds of a child that hold also in the middle of a decoder."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)  # SIGALRM ends it
    seconds = int(timeout_s) + 1
    limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + CHILD_BYTES
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowest, lowest))


def _answer(connection: socket.socket, predictor: Predictor) -> None:
    request = receive(connection)
    if request is None:
        return
    embed = predictor.checkpoint.has_offset

    def score(segments: Arrays) -> Outputs:
        send(connection, {"score": True, "embed": embed}, segments)
        answer = receive(connection)
        if answer is None:
            raise BadMessage("the server ended")
        probabilities, embeddings = answer[1]
        return probabilities, embeddings

    content = request[0]
    file = InputFile(content["filename"], content["path"])
    send(connection, {"prediction": predictor.prediction(file, score)})

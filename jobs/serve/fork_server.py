"""The process that starts the children that decode: forks of itself, with all modules loaded.

What a recording does to its process, it does to its own request alone: a child ends after any
fault. The fork takes a tenth of a second with what it copies, where a new process would import for
seconds, and the next upload of a child that goes on none.
"""

import ctypes
import gc
import os
import pickle
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from batch_ser.audio import Reading
from batch_ser.inputs import InputFile
from jobs.predict import PredictConfig, Predictor
from jobs.serve.messages import Arrays, BadMessage, receive, send
from jobs.serve.preview import make_preview
from models import load_checkpoint
from models.batching import Outputs

PR_SET_PDEATHSIG = 1
WARM_UP_RATE_HZ = 8_000
MOST_REQUESTS = 500  # of a child: what decoders leak is bounded
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
    _warm_up(predictor)
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
                _child(connection, predictor, config.prediction.reading, config.timeout_s)


def _warm_up(predictor: Predictor) -> None:
    """Do once what every child would else do again: imports on first use, above all.

    Measured: 0.25 s of a child's processor time less, of 0.26.
    """
    import av  # noqa: F401

    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "noise.wav")
        noise = np.random.default_rng(0).uniform(-0.01, 0.01, WARM_UP_RATE_HZ)
        soundfile.write(path, noise, WARM_UP_RATE_HZ)
        predictor.prediction(InputFile("noise.wav", path))
    gc.collect()
    gc.freeze()  # or collections would copy pages that children share


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _child(
    connection: socket.socket, predictor: Predictor, reading: Reading, timeout_s: float
) -> None:
    """Answer requests one by one, and end the process after a fault, whatever happens."""
    try:
        _end_with_parent()
        _limit_memory()
        for left in reversed(range(MOST_REQUESTS)):
            request = receive(connection)
            if request is None:
                break
            signal.setitimer(signal.ITIMER_REAL, timeout_s)  # SIGALRM ends it, also in a decoder
            send(connection, {"begun": True})
            prediction = _prediction(connection, predictor, request[0])
            goes_on = left > 0 and "error" not in prediction
            answer: dict[str, Any] = {"prediction": prediction, "goes_on": goes_on}
            if request[0]["preview"] and "error" not in prediction:
                answer["preview"] = make_preview(request[0]["path"], reading)
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(connection, answer)
            if not goes_on:
                break
    except (BrokenPipeError, BadMessage):  # the server has given it up
        pass
    except BaseException as error:
        sys.stderr.write(f"batch-ser: a request failed: {type(error).__name__}: {error}\n")
    finally:
        os._exit(0)


def _limit_memory() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    limits = {resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + CHILD_BYTES
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowest, lowest))


def _prediction(
    connection: socket.socket, predictor: Predictor, request: dict[str, Any]
) -> dict[str, Any]:
    embed = predictor.checkpoint.has_offset

    def score(segments: Arrays) -> Outputs:
        send(connection, {"embed": embed}, segments)
        answer = receive(connection)
        if answer is None:
            raise BadMessage("the server ended")
        probabilities, embeddings = answer[1]
        return probabilities, embeddings

    file = InputFile(request["filename"], request["path"])
    return predictor.prediction(file, score, request["channels"])

"""What a process of a job takes before its first file: Python, libraries, the checkpoint."""

import os
import subprocess
import sys

from batch_ser.errors import Incomplete

# of a local Ray, until workers can start: two cores of AMD EPYC with nothing else to do
RAY_S = 5.0
PROCESS = """
import sys
import jobs.on_ray, jobs.driver
from models import load_checkpoint
load_checkpoint(*sys.argv[1:])
times = __import__("os").times()
print(times.user + times.system)
"""


def process_s(model: str, device: str) -> float:
    """Core-seconds of a new process until it has loaded a checkpoint; `model` is an absolute path.

    Raises:
        Incomplete: the process ended before.
    """
    # the packages of this process, and not those of the current folder
    path = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-c", PROCESS, model, device]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise Incomplete(f"a process that loads the checkpoint did not start: {last}")
    return float(done.stdout)

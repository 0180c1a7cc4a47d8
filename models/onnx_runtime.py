"""ONNX Runtime, the extra `onnx`: without its telemetry, on one thread, within bounded memory.

On Linux, too, it writes an identifier of the device and a database below the home folder and sends
them to its vendor, unless a variable of the environment forbids it before the package is imported;
`disable_telemetry_events` comes too late for the files.
"""

import os
from functools import cache
from types import ModuleType
from typing import Any

from batch_ser.errors import CheckpointError
from models.directory import one_line

TELEMETRY = "ORT_DISABLE_TELEMETRY"
# of all graphs of a process with their weights and inputs; `accurate` takes 0.4 GB for 30 s. A
# small file can ask for any number of bytes (Range, Expand), and gets an error beyond this
MAX_MEMORY_BYTES = 2**31
PROVIDERS = ["CPUExecutionProvider"]
FATAL_ONLY = 4  # errors are exceptions, and not lines on standard error, too


def need_onnxruntime(what: str) -> ModuleType:
    """The package onnxruntime; `what` needs it.

    Raises:
        CheckpointError: it is not installed.
    """
    os.environ[TELEMETRY] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise missing(what, "onnxruntime") from error
    module: ModuleType = onnxruntime
    return module


def missing(what: str, package: str) -> CheckpointError:
    """That `what` needs a package of the extra `onnx`, which is not installed."""
    return CheckpointError(f"{what} needs the package {package}: pip install 'batch-ser[onnx]'")


def open_session(content: bytes, what: str) -> Any:
    """A session of a file's content; `what` is its name in messages.

    Raises:
        CheckpointError: onnxruntime is not installed, or refuses the graph.
    """
    onnxruntime = need_onnxruntime(what)
    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = FATAL_ONLY
    options.enable_mem_pattern = False  # else it keeps a plan for every length of a segment
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.load_model_format", "ONNX")  # not by its first bytes
    try:
        # without fallback, which prints to standard output and tries the same again
        return onnxruntime.InferenceSession(
            content, options, providers=PROVIDERS, enable_fallback=0
        )
    except Exception as error:  # it has an exception for each of its status codes
        raise CheckpointError(f"{what}: onnxruntime refuses it ({one_line(error)})") from error


@cache
def _bound_memory() -> None:
    """Bound what the sessions of this process allocate."""
    onnxruntime = need_onnxruntime("")
    kind, memory = onnxruntime.OrtAllocatorType, onnxruntime.OrtMemType
    device = onnxruntime.OrtMemoryInfo("Cpu", kind.ORT_ARENA_ALLOCATOR, 0, memory.DEFAULT)
    as_requested = 1  # and not the next power of two
    limits = {"max_mem": MAX_MEMORY_BYTES, "arena_extend_strategy": as_requested}
    limits |= {"initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}  # the defaults
    onnxruntime.create_and_register_allocator(device, onnxruntime.OrtArenaCfg(limits))

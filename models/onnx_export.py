"""A checkpoint as an ONNX file that needs neither this program nor torch.

The file has the front end, the network, its head at the usual offset, and the calibration; its
metadata state the labels, the rate and the checkpoint. It is compared with the checkpoint before it
is written. With `int8` the linear layers of the encoder hold integers of 8 bits and are multiplied
as such, with scales that are measured for every input (dynamic quantisation); convolutions, whose
integer kernels are slower than those of float32, the front end and the head stay as they are.
"""

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser import __version__
from batch_ser.audio import Samples
from batch_ser.errors import CheckpointError, UsageError
from models.loading import DIRECTORY, load_checkpoint, load_network, resolve
from models.onnx_graph import ScoringGraph
from models.scoring import Checkpoint

INPUTS, OUTPUTS = ("samples", "lengths"), ("embeddings", "scores", "probabilities")
FRONT_END = "whisper_log_mel"
CLOSE = (
    1e-3  # of probabilities: beyond it the graph is wrong; of the shipped ones 6e-6 was measured
)
TRIALS_S = (0.02, 0.5, 1.3, 4.0)  # lengths of segments that are scored by both
NO_PRIOR = "none"
LINEAR = ["MatMul", "Gemm"]
ENCODER = "/network.encoder"  # in the name space of a node


@dataclass(frozen=True)
class Exported:
    """What became of an export."""

    path: Path
    size_bytes: int
    difference: float  # of a probability from the checkpoint's, at most, over the trial segments


def export_onnx(
    model: str, out: Path, *, int8: bool = False, expect: str | None = None
) -> Exported:
    """Write a checkpoint as ONNX, replacing an earlier file.

    Raises:
        UsageError: another ending than .onnx, or no such folder.
        CheckpointError: onnx is not installed, or the checkpoint has another front end.
    """
    if out.suffix != ".onnx" or not out.parent.is_dir():
        raise UsageError(f"--out {out}: expected NAME.onnx in a folder that exists")
    onnx = _need("onnx")
    found = resolve(model)
    checkpoint = load_checkpoint(model)
    if found.startswith(DIRECTORY) or checkpoint.info.front_end != FRONT_END:
        raise CheckpointError(
            f"--model {model}: found the front end {checkpoint.info.front_end}, expected a "
            f"checkpoint over {FRONT_END}, such as accurate or fast"
        )
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        path = Path(folder) / "model.onnx"
        graph = _traced(_graph(checkpoint, Path(found), expect))
        if int8:
            graph = _quantised(graph, path)
        _describe(graph, _metadata(checkpoint, int8, expect))
        onnx.checker.check_model(graph)
        onnx.save(graph, path)
        difference = _difference(checkpoint, path, expect)
        if not int8 and not difference <= CLOSE:
            raise CheckpointError(
                f"--model {model}: the graph's probabilities differ by {difference:.1g} from the "
                f"checkpoint's, expected at most {CLOSE:g}; nothing was written"
            )
        os.replace(path, out)
    return Exported(out, out.stat().st_size, difference)


def _need(package: str) -> ModuleType:
    """A package of the extra `onnx`.

    Raises:
        CheckpointError: it is not installed.
    """
    try:
        import onnx
        import onnxruntime
        import onnxruntime.quantization
        import onnxscript
    except ImportError as error:
        raise CheckpointError(
            "--to onnx needs the packages onnx, onnxruntime and onnxscript: "
            "pip install 'batch-ser[onnx]'"
        ) from error
    modules: dict[str, ModuleType] = {
        "onnx": onnx,
        "onnxruntime": onnxruntime,
        "quantization": onnxruntime.quantization,
        "onnxscript": onnxscript,
    }
    return modules[package]


def _graph(checkpoint: Checkpoint, path: Path, expect: str | None) -> ScoringGraph:
    """The graph in torch, with the prior where the head is one that has it."""
    info = checkpoint.info
    prior = None
    if checkpoint.has_offset or expect is not None:
        checkpoint.check_offset()
        prior = torch.from_numpy(checkpoint.expectation(expect).prior)
    level = info.front_end_settings.get("level")
    return ScoringGraph(load_network(path)[1], level, info.temperature, prior).eval()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Nothing of what torch and onnxruntime report while they work concerns a user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _traced(graph: ScoringGraph) -> Any:
    """The graph as ONNX, for any number of segments of any length."""
    samples = torch.rand(2, 16_000, generator=torch.Generator().manual_seed(0)) * 0.01
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    with _without_warnings():
        program = torch.onnx.export(
            graph,
            (samples, torch.tensor([16_000, 12_000])),
            dynamo=True,
            verbose=False,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=({0: batch, 1: time}, {0: batch}),
        )
    assert program is not None
    return program.model_proto


def _quantised(graph: Any, path: Path) -> Any:
    """The encoder's linear layers in int8; `path` is overwritten."""
    quantization = _need("quantization")
    nodes = [
        node.name
        for node in graph.graph.node
        if node.op_type in LINEAR
        and any(ENCODER in each.value for each in node.metadata_props if each.key == "namespace")
    ]
    with _without_warnings():
        quantization.quantize_dynamic(
            graph,
            path,
            op_types_to_quantize=LINEAR,
            nodes_to_quantize=nodes,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
    return _need("onnx").load(path)


def _describe(graph: Any, metadata: dict[str, str]) -> None:
    """Set metadata, and remove what the exporter notes of each node: paths of this machine."""
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in graph.graph.value_info:
        del value.metadata_props[:]
    del graph.graph.metadata_props[:]
    graph.producer_name, graph.producer_version = "batch-ser", __version__
    _need("onnx").helper.set_model_props(graph, metadata)


def _metadata(checkpoint: Checkpoint, int8: bool, expect: str | None) -> dict[str, str]:
    info = checkpoint.info
    offset = checkpoint.has_offset
    return {
        "name": info.name,
        "checkpoint_sha256": checkpoint.digest,
        "licence": info.licence,
        "labels": json.dumps(info.labels),
        "rate_hz": str(info.rate_hz),
        "max_input_s": f"{info.max_input_s:g}",
        "temperature": repr(info.temperature),
        "scores": "log-likelihoods at the usual offset" if offset else "logits",
        "expect": checkpoint.expectation(expect).text if offset else NO_PRIOR,
        "weights": "int8 in the encoder's linear layers" if int8 else "float32",
    }


def padded(segments: Sequence[Samples]) -> dict[str, NDArray[Any]]:
    """Segments as the graph takes them: `samples` (n, time), padded with zeros, and `lengths`."""
    lengths = np.array([len(each) for each in segments], np.int64)
    samples = np.zeros((len(segments), lengths.max()), np.float32)
    for row, segment in zip(samples, segments, strict=True):
        row[: len(segment)] = segment
    return {"samples": samples, "lengths": lengths}


def _difference(checkpoint: Checkpoint, path: Path, expect: str | None) -> float:
    """The largest difference of a probability, of faint noise in several lengths as one batch."""
    noise = np.random.default_rng(0)
    segments = [
        noise.normal(0, 0.01, round(seconds * checkpoint.info.rate_hz)).astype(np.float32)
        for seconds in TRIALS_S
    ]
    options = {"providers": ["CPUExecutionProvider"]}
    session = _need("onnxruntime").InferenceSession(str(path), **options)
    (probabilities,) = session.run(["probabilities"], padded(segments))
    return float(np.abs(probabilities - checkpoint.score_all(segments, expect=expect)).max())

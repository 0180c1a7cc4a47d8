"""A checkpoint as an ONNX file: for programs without torch, and for this one.

The file has the front end, the network, its head at the usual offset, and the calibration; its
metadata state the labels, the rate and the checkpoint, and have what makes it a checkpoint of its
own (`models/onnx_checkpoint.py`). It is compared with the checkpoint before it is written. With
`int8` the linear layers of the encoder hold integers of 8 bits and are multiplied as such, with
scales that are measured for every input (dynamic quantisation); convolutions, whose integer kernels
are slower than those of float32, the front end and the head stay as they are.
"""

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from batch_ser import __version__
from batch_ser.errors import CheckpointError, UsageError
from models.loading import DIRECTORY, load_checkpoint, load_network, resolve
from models.network import Network
from models.onnx_checkpoint import FRONT_END, PRECISIONS, checkpoint_metadata, padded_samples
from models.onnx_file import ENDING
from models.onnx_graph import ScoringGraph
from models.onnx_runtime import need_onnxruntime, open_session
from models.scoring import Checkpoint

INPUTS, OUTPUTS = ("samples", "lengths"), ("embeddings", "scores", "probabilities")
CLOSE = 1e-3  # of probabilities: beyond it the graph is wrong; measured of the shipped ones: 6e-6
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
    if out.suffix != ENDING or not out.parent.is_dir():
        raise UsageError(f"--out {out}: expected NAME.onnx in a folder that exists")
    onnx = _need("onnx")
    checkpoint, network = _exportable(model)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        path = Path(folder) / "model.onnx"
        graph = _traced(_graph(checkpoint, network, expect))
        if int8:
            graph = _quantised(graph, path)
        _describe(graph, _metadata(checkpoint, network, int8, expect))
        onnx.checker.check_model(graph)
        onnx.save(graph, path)
        difference = _difference(checkpoint, path, expect)
        if not int8 and not difference <= CLOSE:
            raise CheckpointError(
                f"--model {model}: the graph's probabilities differ by {difference:.1g} from the "
                f"checkpoint's, expected at most {CLOSE:g}; nothing was written"
            )
        load_checkpoint(path)  # which refuses what a runtime would not
        os.replace(path, out)
    return Exported(out, out.stat().st_size, difference)


def _exportable(model: str) -> tuple[Checkpoint, Network]:
    """A checkpoint, and its network in torch.

    Raises:
        CheckpointError: it cannot be loaded, is an export, or has another front end.
    """
    found = resolve(model)
    if found.endswith(ENDING):
        raise CheckpointError(
            f"--model {model}: found an ONNX file, expected the checkpoint from which it was made"
        )
    checkpoint = load_checkpoint(model)
    if found.startswith(DIRECTORY) or checkpoint.info.front_end != FRONT_END:
        raise CheckpointError(
            f"--model {model}: found the front end {checkpoint.info.front_end}, expected a "
            f"checkpoint over {FRONT_END}, such as accurate or fast"
        )
    return checkpoint, load_network(Path(found))[1]


def _need(package: str) -> ModuleType:
    """A package of the extra `onnx`.

    Raises:
        CheckpointError: it is not installed.
    """
    need_onnxruntime("--to onnx")
    try:
        import onnx
        import onnxruntime.quantization
        import onnxscript
    except ImportError as error:
        raise CheckpointError(
            "--to onnx needs the packages onnx, onnxruntime and onnxscript: "
            "pip install 'batch-ser[onnx]'"
        ) from error
    modules: dict[str, ModuleType] = {
        "onnx": onnx,
        "quantization": onnxruntime.quantization,
        "onnxscript": onnxscript,
    }
    return modules[package]


def _graph(checkpoint: Checkpoint, network: Network, expect: str | None) -> ScoringGraph:
    """The graph in torch, with the prior where the head is one that has it."""
    info = checkpoint.info
    prior = None
    if checkpoint.has_offset or expect is not None:
        checkpoint.check_offset()
        prior = torch.from_numpy(checkpoint.expectation(expect).prior)
    level = info.front_end_settings.get("level")
    return ScoringGraph(network, level, info.temperature, prior).eval()


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
    """The encoder's linear layers in int8; `path` is overwritten.

    Weights have 7 bits: the 16 bits that processors without VNNI add two products in hold them, and
    all processors give the same sums. Source: docs.openvino.ai, "Saturation (overflow) issue".
    """
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
            reduce_range=True,
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


def _metadata(
    checkpoint: Checkpoint, network: Network, int8: bool, expect: str | None
) -> dict[str, str]:
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
    } | checkpoint_metadata(json.dumps(asdict(info)), network, PRECISIONS[int8])


def _difference(checkpoint: Checkpoint, path: Path, expect: str | None) -> float:
    """The largest difference of a probability, of faint noise in several lengths as one batch."""
    noise = np.random.default_rng(0)
    segments = [
        noise.normal(0, 0.01, round(seconds * checkpoint.info.rate_hz)).astype(np.float32)
        for seconds in TRIALS_S
    ]
    batch = padded_samples(segments, torch.device("cpu"))
    inputs = dict(zip(INPUTS, (each.numpy() for each in batch), strict=True))
    (probabilities,) = open_session(path.read_bytes(), str(path)).run(["probabilities"], inputs)
    return float(np.abs(probabilities - checkpoint.score_all(segments, expect=expect)).max())

"""What an ONNX file holds, checked before a runtime gets it: such a file may come from anyone.

A graph may name files that hold its tensors, have loops and functions, and use operators of
libraries. None of this is in what `batch-ser export` writes, and a file with it is refused.

The package onnx reads the file. It bounds how deep messages are nested, and takes memory in
proportion to their bytes: of an export twice its size, of messages without content up to 100 times.
"""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from batch_ser.errors import CheckpointError
from models.checkpoint import KEY
from models.directory import one_line
from models.onnx_runtime import missing

ENDING = ".onnx"
HEAD = "batch_ser_head"  # metadata: the head's tensors, safetensors in Base64
PRECISION = "precision"  # metadata: float32 or int8
EARLIER = "checkpoint_sha256"  # metadata of every file that `batch-ser export` wrote
MAX_BYTES = 2**31 - 1  # of a message of Protocol Buffers
DAMAGED = "not an ONNX file, or a damaged one"

# nodes, their attributes, and tensors. onnxruntime takes half a minute to drop 100,000 tensors that
# no node takes, and the square of it
MAX_PARTS = 10_000

# elementwise, shapes, reductions, layers; deterministic, without loops
KNOWN = """
    Abs Add And Cast Ceil Clip Concat Constant ConstantOfShape Cos CumSum Div Equal Erf Exp Expand
    Flatten Floor Gather GatherElements Greater GreaterOrEqual Identity IsInf IsNaN Less LessOrEqual
    Log Max Min Mod Mul Neg Not Or Pad Pow Range Reciprocal Reshape Round Shape Sign Sin Size Slice
    Split Sqrt Squeeze Sub Sum Tile Transpose Trilu Unsqueeze Where
    ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare
    BatchNormalization Conv Gelu Gemm LayerNormalization LogSoftmax MatMul Relu Sigmoid Softmax
    Softplus Tanh
    ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QuantizeLinear
"""
OPERATORS = frozenset(KNOWN.split())


@dataclass(frozen=True)
class OnnxFile:
    """A checked file."""

    content: bytes
    metadata: dict[str, str]


def read_onnx(path: Path) -> OnnxFile:
    """An ONNX file with the metadata of a checkpoint.

    Raises:
        CheckpointError: it cannot be read, is no such file, or has what is refused; onnx is not
            installed.
    """
    onnx = _need_onnx(f"--model {path}")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise CheckpointError(f"{path}: found {size:,} bytes, expected at most {MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: it cannot be read ({error})") from error
    try:
        metadata = _checked(_parsed(onnx, content))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if KEY not in metadata:
        raise CheckpointError(f"{path}: {_without_checkpoint(metadata)}")
    return OnnxFile(content, metadata)


def _need_onnx(what: str) -> ModuleType:
    """The package onnx; `what` needs it.

    Raises:
        CheckpointError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing(what, "onnx") from error
    module: ModuleType = onnx
    return module


def _parsed(onnx: ModuleType, content: bytes) -> Any:
    """The model of a file's content, an `onnx.ModelProto`.

    Raises:
        CheckpointError: it is none, is damaged, or is nested too deeply.
    """
    from google.protobuf.message import DecodeError

    try:
        return onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise CheckpointError(f"{DAMAGED} ({one_line(error)})") from error


def _without_checkpoint(metadata: dict[str, str]) -> str:
    if EARLIER in metadata:
        name = metadata.get("name", "its checkpoint")[:100]
        return (
            "an export of an earlier version, without what is needed to score; expected one of "
            f"this version: export {name!a} again by `batch-ser export`"
        )
    return (
        "an ONNX file without batch-ser's metadata; expected one that `batch-ser export` wrote; "
        "models of other programs are scored as hf:DIR"
    )


def _checked(model: Any) -> dict[str, str]:
    """The metadata of a model whose graph has nothing that is refused."""
    _refuse("training information", model.training_info)
    _refuse("functions", model.functions)
    _check_graph(model.graph)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    for text in (*metadata, *metadata.values()):
        if not isinstance(text, str):  # but bytes
            raise CheckpointError(f"{DAMAGED} (metadata that are not UTF-8)")
    return metadata


def _check_graph(graph: Any) -> None:
    parts = len(graph.node) + len(graph.initializer)
    if parts <= MAX_PARTS:
        parts += sum(len(node.attribute) for node in graph.node)
    if parts > MAX_PARTS:
        raise CheckpointError(
            f"found {parts:,} nodes, attributes and tensors, expected at most {MAX_PARTS:,}"
        )
    _refuse("sparse tensors", graph.sparse_initializer)
    for node in graph.node:
        _check_node(node)
    for tensor in graph.initializer:
        _check_tensor(tensor)


def _check_node(node: Any) -> None:
    if node.op_type not in OPERATORS:
        found = ascii(node.op_type)[:100]
        raise CheckpointError(f"found the operator {found}, expected those of `batch-ser export`")
    if node.domain:
        found = ascii(node.domain)[:100]
        raise CheckpointError(f"found an operator of {found}, expected those of ONNX itself")
    for attribute in node.attribute:
        _refuse("graphs within operators", attribute.HasField("g") or attribute.graphs)
        _refuse("lists of tensors", attribute.tensors)
        sparse = attribute.HasField("sparse_tensor") or attribute.sparse_tensors
        _refuse("sparse tensors", sparse)
        _check_tensor(attribute.t)


def _check_tensor(tensor: Any) -> None:
    elsewhere = tensor.data_location != 0  # 0: in the file itself
    _refuse("tensors in other files", elsewhere or tensor.external_data)


def _refuse(what: str, found: object) -> None:
    """Refuse what is in a model, a list of messages or whether there is one."""
    if found:
        raise CheckpointError(f"found {what}, expected none, as in what `batch-ser export` writes")

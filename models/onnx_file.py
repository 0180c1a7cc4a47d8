"""What an ONNX file holds, checked before a runtime gets it: such a file may come from anyone.

A graph may name files that hold its tensors, have loops and functions, and use operators of
libraries. None of this is in what `batch-ser export` writes, and a file with it is refused.
"""

from dataclasses import dataclass
from pathlib import Path

from batch_ser.errors import CheckpointError
from models.checkpoint import KEY
from models.protobuf import Fields, Value, text_of

ENDING = ".onnx"
HEAD = "batch_ser_head"  # metadata: the head's tensors, safetensors in Base64
PRECISION = "precision"  # metadata: float32 or int8
EARLIER = "checkpoint_sha256"  # metadata of every file that `batch-ser export` wrote
MAX_BYTES = 2**31 - 1  # of a message of Protocol Buffers

# fields of messages by their numbers: onnx/onnx.proto
GRAPH, METADATA = 7, 14  # of a model
NODE, INITIALIZER = 1, 5  # of a graph
OPERATOR, ATTRIBUTE, DOMAIN = 4, 5, 7  # of a node
TENSOR = 5  # of an attribute
MAP_KEY, MAP_VALUE = 1, 2
NOTHING = memoryview(b"")  # of a text that is not there
REFUSED_IN_MODEL = {20: "training information", 25: "functions"}
REFUSED_IN_GRAPH = {15: "sparse tensors"}
REFUSED_IN_ATTRIBUTE = {
    6: "graphs within operators",
    10: "lists of tensors",
    11: "graphs within operators",
    22: "sparse tensors",
    23: "sparse tensors",
}
REFUSED_IN_TENSOR = {13: "tensors in other files"}
LOCATION = 14  # of a tensor: 0 where it is in the file itself

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
        CheckpointError: it cannot be read, is no such file, or has what is refused.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise CheckpointError(f"{path}: found {size:,} bytes, expected at most {MAX_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: it cannot be read ({error})") from error
    try:
        metadata = _checked(memoryview(content))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not an ONNX file, or a damaged one ({error})") from error
    if KEY not in metadata:
        raise CheckpointError(f"{path}: {_without_checkpoint(metadata)}")
    return OnnxFile(content, metadata)


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


def _checked(content: memoryview) -> dict[str, str]:
    """The metadata of a model; all occurrences of its graph are checked, which readers merge."""
    fields, metadata = Fields(), {}
    for number, value in fields.of(content):
        _refuse(number, REFUSED_IN_MODEL)
        if number == METADATA:
            entry = dict(fields.of(value))
            key, text = (text_of(entry.get(each, NOTHING)) for each in (MAP_KEY, MAP_VALUE))
            metadata[key] = text
        elif number == GRAPH:
            _check_graph(value, fields)
    return metadata


def _check_graph(graph: Value, fields: Fields) -> None:
    for number, value in fields.of(graph):
        _refuse(number, REFUSED_IN_GRAPH)
        if number == NODE:
            _check_node(value, fields)
        elif number == INITIALIZER:
            _check_tensor(value, fields)


def _check_node(node: Value, fields: Fields) -> None:
    for number, value in fields.of(node):
        if number == OPERATOR and (operator := text_of(value)) not in OPERATORS:
            raise CheckpointError(
                f"found the operator {ascii(operator)[:100]}, expected those of `batch-ser export`"
            )
        if number == DOMAIN and (domain := text_of(value)):
            raise CheckpointError(
                f"found an operator of {ascii(domain)[:100]}, expected those of ONNX itself"
            )
        if number == ATTRIBUTE:
            for inner, content in fields.of(value):
                _refuse(inner, REFUSED_IN_ATTRIBUTE)
                if inner == TENSOR:
                    _check_tensor(content, fields)


def _check_tensor(tensor: Value, fields: Fields) -> None:
    for number, value in fields.of(tensor):
        _refuse(number, REFUSED_IN_TENSOR)
        if number == LOCATION and value != 0:
            _refuse(13, REFUSED_IN_TENSOR)


def _refuse(number: int, refused: dict[int, str]) -> None:
    if number in refused:
        raise CheckpointError(
            f"found {refused[number]}, expected none, as in what `batch-ser export` writes"
        )

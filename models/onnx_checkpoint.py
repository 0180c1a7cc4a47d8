"""A checkpoint in an ONNX file: ONNX Runtime computes embeddings, its head is that of torch.

The head's tensors are in the file's metadata, so that everything from an embedding on is as with
the safetensors file: offsets, expectations, calibration. Segments go through the graph one by one
and without padding. In int8, the scales of a layer are measured over all of its input, so that a
segment's neighbours would change its scores; and on one thread, a batch is not faster than its
segments.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from batch_ser.audio import Samples
from batch_ser.errors import CheckpointError
from batch_ser.features import Features, FrontEnd
from models.architectures import build
from models.checkpoint import KEY, CheckpointInfo, check_finite, info_of
from models.compatibility import check_compatible
from models.network import Network
from models.onnx_file import HEAD, PRECISION, read_onnx
from models.onnx_runtime import open_session

FRONT_END = "whisper_log_mel"  # the one that can be exported
PRECISIONS = ("float32", "int8")
PREFIX = "head."  # of the head's tensors in a network


class OnnxNetwork(Network):
    """Padded samples to embeddings by a session; the head of `architecture`, whose encoder has no
    memory.
    """

    front_end = FRONT_END

    def __init__(self, architecture: Network, session: Any, precision: str) -> None:
        super().__init__()
        self.settings = architecture.settings
        self.rate_hz, self.max_input_s = architecture.rate_hz, architecture.max_input_s
        self.embedding_width = architecture.embedding_width
        self.head = architecture.get_submodule("head")
        self.runtime = f"onnxruntime {precision}"
        self._forward_head = architecture.eval().forward_head
        self._session = session

    def features_by(self, settings: Mapping[str, Any]) -> FrontEnd:  # noqa: ARG002
        """Padded samples: the front end with its settings is in the graph."""
        return padded_samples

    def forward_embedding(self, features: Features) -> Tensor:
        rows = zip(features.values.numpy(), features.frames.tolist(), strict=True)
        return torch.from_numpy(np.stack([self._embedding(*row) for row in rows]))

    def _embedding(self, samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
        """The embedding (width,) of one segment."""
        inputs = {"samples": samples[None, :length], "lengths": np.array([length])}
        (found,) = self._session.run(["embeddings"], inputs)
        if found.shape != (1, self.embedding_width):
            raise ValueError(
                f"the graph returns embeddings of shape {found.shape}, expected "
                f"{(1, self.embedding_width)}"
            )
        return np.asarray(found[0], np.float32)

    def forward_head(self, embeddings: Tensor) -> Tensor:
        return self._forward_head(embeddings)


def padded_samples(segments: Sequence[Samples], device: torch.device) -> Features:
    """Samples (n, time), padded with zeros, and each segment's own length."""
    lengths = [len(each) for each in segments]
    values = np.zeros((len(segments), max(lengths)), np.float32)
    for row, segment in zip(values, segments, strict=True):
        row[: len(segment)] = segment
    return Features(torch.from_numpy(values).to(device), torch.tensor(lengths, device=device))


def checkpoint_metadata(info_text: str, network: Network, precision: str) -> dict[str, str]:
    """What makes an ONNX file a checkpoint: the metadata, the head's tensors, the precision."""
    tensors = {
        name: each.contiguous() for name, each in network.get_submodule("head").state_dict().items()
    }
    return {
        KEY: info_text,
        HEAD: base64.b64encode(save(tensors)).decode(),
        PRECISION: precision,
    }


def load_onnx(path: Path) -> tuple[CheckpointInfo, Network, str]:
    """The metadata of an ONNX file, a network that scores with it, and its digest.

    Raises:
        CheckpointError: damaged, not a checkpoint, with what is refused of such a file, or
            onnxruntime is not installed.
    """
    file = read_onnx(path)
    info = info_of(path, file.metadata[KEY])
    try:
        precision = file.metadata.get(PRECISION, "")
        if precision not in PRECISIONS:
            known = " or ".join(PRECISIONS)
            raise CheckpointError(f"precision {ascii(precision)[:100]}: expected {known}")
        architecture = _with_head(info, _head(file.metadata))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    session = open_session(file.content, f"--model {path}")
    digest = hashlib.sha256(file.content).hexdigest()
    return info, OnnxNetwork(architecture, session, precision), digest


def _head(metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """The head's tensors, under their names in a network."""
    try:
        tensors = load(base64.b64decode(metadata[HEAD], validate=True))
    except (KeyError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"its metadata {HEAD} is damaged ({error})") from error
    return {PREFIX + name: tensor for name, tensor in tensors.items()}


def _with_head(info: CheckpointInfo, tensors: dict[str, Tensor]) -> Network:
    """The network of some metadata, of which only the head has memory."""
    if info.front_end != FRONT_END:
        raise CheckpointError(f"front end {info.front_end}: expected {FRONT_END} in an ONNX file")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    check_compatible(info, shapes, part=PREFIX)
    check_finite(HEAD, tensors)
    with torch.device("meta"):
        network = build(info.architecture, len(info.labels), info.settings)
    head = network.get_submodule("head").to_empty(device="cpu")
    head.load_state_dict({name.removeprefix(PREFIX): each for name, each in tensors.items()})
    return network

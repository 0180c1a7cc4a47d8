"""Checkpoints: one safetensors file, its JSON metadata under the key `batch_ser`. Never pickle.

The metadata says everything that a job needs: architecture and its settings, labels, front end,
rate, segment defaults, calibration, corpora, licence and metrics. Tensors that float16 holds
exactly are stored in float16; everything is computed in float32.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from batch_ser.audio import Resampler, Samples
from batch_ser.errors import CheckpointError
from batch_ser.features import FRONT_ENDS, Features
from batch_ser.segment import in_pieces
from models.architectures import ARCHITECTURES

SHIPPED = Path(__file__).parent / "checkpoints"
KEY = "batch_ser"
Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself: its JSON metadata, checked once."""

    name: str
    architecture: str
    settings: dict[str, Any]
    labels: tuple[str, ...]
    front_end: str
    rate_hz: int
    max_input_s: float
    licence: str
    temperature: float = 1.0  # logits are divided by it: calibration on held-out speakers
    segment: dict[str, Any] = field(default_factory=dict)  # default segment settings
    corpora: tuple[dict[str, Any], ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        object.__setattr__(self, "corpora", tuple(self.corpora))
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise CheckpointError(f"architecture {self.architecture!r}: this version has {known}")
        if self.front_end not in FRONT_ENDS:
            raise CheckpointError(f"front end {self.front_end!r}: this version has {FRONT_ENDS}")
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
            raise CheckpointError(f"labels {self.labels}: expected two or more different names")
        if not self.temperature > 0:
            raise CheckpointError(f"temperature {self.temperature}: expected more than 0")


class Checkpoint:
    """A trained network, ready to score."""

    def __init__(
        self, info: CheckpointInfo, network: torch.nn.Module, digest: str, device: str = "cpu"
    ) -> None:
        self.info = info
        self.digest = digest
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()
        if self._device.type == "cuda":  # TF32 would move scores by more than 1e-4
            torch.backends.cudnn.allow_tf32 = False
        self._front_end = FRONT_ENDS[info.front_end]

    def score_batch(self, segments: Sequence[Samples]) -> Probabilities:
        """Calibrated probabilities (n, labels) of segments, each (samples,) at `info.rate_hz` and
        at most `info.max_input_s` long. They do not depend on each other: at most 1e-4 apart.
        """
        return self.classify(self.features(segments))

    def features(self, segments: Sequence[Samples]) -> Features:
        """The front end alone: segments to a batch of features."""
        with torch.inference_mode():
            return self._front_end(segments, self._device)

    def classify(self, features: Features) -> Probabilities:
        """The network alone: features to calibrated probabilities (n, labels)."""
        with torch.inference_mode():
            scores = torch.softmax(self._network(features) / self.info.temperature, dim=1)
        return np.asarray(scores.cpu())

    def score(self, samples: Samples, rate_hz: int) -> Probabilities:
        """Probabilities (labels,) of one segment of any length and rate, mono (samples,).

        Longer than the network takes: the mean over its pieces, weighted by their new seconds.

        Raises:
            ValueError: not one-dimensional, or empty.
        """
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"found samples of shape {samples.shape}, expected (n,) with n > 0")
        resample = Resampler(rate_hz, self.info.rate_hz)
        parts = [resample(samples.astype(np.float32)), resample(np.zeros(0, np.float32), last=True)]
        most = round(self.info.max_input_s * self.info.rate_hz)
        pieces = list(in_pieces(0, np.concatenate(parts), most))
        scores = [
            self.score_batch([piece.samples])[0] for piece in pieces if piece.samples is not None
        ]
        weights = [piece.end - piece.start for piece in pieces]
        return np.average(scores, axis=0, weights=weights).astype(np.float32)


def find_checkpoint(model: str) -> Path:
    """The file behind `--model`: a shipped checkpoint's name or a path.

    Raises:
        CheckpointError: there is none.
    """
    if "/" not in model and not model.endswith(".safetensors"):
        path = SHIPPED / f"{model}.safetensors"
        if not path.exists():
            known = ", ".join(shipped_checkpoints())
            raise CheckpointError(f"--model {model}: expected {known}, or a .safetensors file")
        return path
    if not Path(model).is_file():
        raise CheckpointError(f"--model {model}: there is no such file")
    return Path(model).resolve()


def shipped_checkpoints() -> list[str]:
    """Names of the checkpoints that come with the program."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def read_info(path: Path) -> CheckpointInfo:
    """A checkpoint's metadata, without its weights.

    Raises:
        CheckpointError: not a safetensors file, or not one of this program.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    if KEY not in metadata:
        raise CheckpointError(
            f"{path}: a safetensors file without batch-ser's metadata; "
            "expected a checkpoint written by `batch-ser train`"
        )
    try:
        stored = json.loads(metadata[KEY])
        known = {field.name for field in fields(CheckpointInfo)}
        return CheckpointInfo(**{key: value for key, value in stored.items() if key in known})
    except (TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged ({error})") from error


def digest_of(path: Path) -> str:
    """SHA-256 of a checkpoint file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_checkpoint(model: str | Path, device: str = "cpu") -> Checkpoint:
    """A checkpoint by its shipped name or path.

    Raises:
        CheckpointError: missing, damaged, or weights that do not fit the architecture.
    """
    path = find_checkpoint(str(model))
    info = read_info(path)
    try:
        network = ARCHITECTURES[info.architecture](len(info.labels), **info.settings)
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: weights or settings do not fit {info.architecture}: {error}"
        ) from error
    return Checkpoint(info, network, digest_of(path), device)


def save_checkpoint(path: Path, info: CheckpointInfo, network: torch.nn.Module) -> None:
    """Write a checkpoint in one go, replacing what stands there."""
    tensors = {name: _smallest(tensor) for name, tensor in network.state_dict().items()}
    data = save(tensors, metadata={KEY: json.dumps(asdict(info), indent=1)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _smallest(tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.half()
    return half if torch.equal(half.float(), tensor.float()) else tensor.contiguous()

"""Checkpoints: one safetensors file, its JSON metadata under the key `batch_ser`. Never pickle.

The metadata has everything that a job needs: architecture and its settings, labels, front end,
rate, segment defaults, calibration, corpora, licence and metrics. Tensors that float16 holds
exactly are stored in float16; everything is computed in float32.
"""

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from batch_ser.errors import CheckpointError
from batch_ser.features import FRONT_ENDS
from models.architectures import ARCHITECTURES

KEY = "batch_ser"
OLD_SETTINGS = {"imitated": "predicted"}  # of checkpoints from before 2026-12, as `fast` is
OLD_TENSORS = {"encoder.imitation.": "encoder.prediction."}


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint's JSON metadata, checked once."""

    name: str
    architecture: str
    settings: dict[str, Any]
    labels: tuple[str, ...]
    front_end: str
    rate_hz: int
    max_input_s: float
    licence: str
    front_end_settings: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0  # logits are divided by it: calibration on held-out speakers
    natural: dict[str, float] = field(default_factory=dict)  # shares of neutral in `natural` speech
    segment: dict[str, Any] = field(default_factory=dict)  # default segment settings
    corpora: tuple[dict[str, Any], ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    made_with: dict[str, str] = field(default_factory=dict)
    note: str = ""  # limits of the metrics
    report: str = ""  # further figures for the card, as Markdown

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
        if not 0 < self.temperature < math.inf:
            raise CheckpointError(f"temperature {self.temperature}: expected more than 0")

    def summary(self) -> dict[str, Any]:
        """Held-out metrics of every fold and their mean; of several corpora only the means."""
        means = {name: each for name, each in self.metrics.items() if name.startswith("mean ")}
        return means or self.metrics


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
        settings = stored["settings"]
        stored["settings"] = {OLD_SETTINGS.get(key, key): settings[key] for key in settings}
        return CheckpointInfo(**{key: value for key, value in stored.items() if key in known})
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged ({error})") from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """A safetensors file's tensors, in float32 where they are stored as float16.

    Raises:
        CheckpointError: not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    return {
        _current_name(name): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }


def _current_name(tensor: str) -> str:
    for old, new in OLD_TENSORS.items():
        tensor = tensor.replace(old, new)
    return tensor


def save_checkpoint(path: Path, info: CheckpointInfo, network: torch.nn.Module) -> None:
    """Write a checkpoint atomically, replacing an earlier one."""
    tensors = {name: _smallest(tensor) for name, tensor in network.state_dict().items()}
    data = save(tensors, metadata={KEY: json.dumps(asdict(info), indent=1)})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


def _smallest(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():  # batch norm counts its batches
        return tensor.contiguous()
    tensor = tensor.contiguous()
    float16 = tensor.half()
    return float16 if torch.equal(float16.float(), tensor.float()) else tensor

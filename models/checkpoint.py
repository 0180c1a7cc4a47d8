"""Checkpoints: one safetensors file, its JSON metadata under the key `batch_ser`. Never pickle.

The metadata has everything that a job needs: architecture and its settings, labels, front end,
rate, segment defaults, calibration, corpora, licence and metrics. Tensors that float16 holds
exactly are stored in float16; everything is computed in float32.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from batch_ser.errors import CheckpointError
from batch_ser.features import FRONT_ENDS
from batch_ser.segments import GIVEN, SegmentSettings
from models.architectures import ARCHITECTURES
from models.directory import one_line
from models.expectation import NATURAL_SHARES
from models.fields import Checked, check_json

KEY = "batch_ser"
MAX_METADATA_BYTES = 1_000_000  # of the shipped checkpoints: 7,000
MAX_NAME = 100  # characters of a checkpoint's name and of a label, which names a column
MAX_LABELS = 100
TEMPERATURES = (1e-3, 1e3)  # fits are between 0.1 and 100
OLD_SETTINGS = {"imitated": "predicted"}  # of checkpoints from before 2026-12, as `fast` is
OLD_TENSORS = {"encoder.imitation.": "encoder.prediction."}


@dataclass(frozen=True)
class CheckpointInfo(Checked):
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
        try:
            super().__post_init__()
            self._check_names()
            self._check_ranges()
        except CheckpointError:
            raise
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"its metadata is damaged: {error}") from error

    def _check_names(self) -> None:
        if self.architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise CheckpointError(f"architecture {self.architecture!r}: this version has {known}")
        if self.front_end not in FRONT_ENDS:
            known = ", ".join(FRONT_ENDS)
            raise CheckpointError(f"front end {self.front_end!r}: this version has {known}")
        if not 2 <= len(set(self.labels)) == len(self.labels) <= MAX_LABELS:
            raise CheckpointError(
                f"labels {self.labels[:8]}: expected two or more different names, at most "
                f"{MAX_LABELS}"
            )
        for name in (self.name, *self.labels):
            if not (name.isprintable() and 0 < len(name) <= MAX_NAME):
                raise CheckpointError(
                    f"the name {name[:MAX_NAME]!r}: expected 1 to {MAX_NAME} printable characters"
                )
        for corpus in self.corpora:
            if not isinstance(corpus.get("name"), str):
                raise CheckpointError("corpora: found one without a name, expected a name for each")

    def _check_ranges(self) -> None:
        low, high = TEMPERATURES
        if not low <= self.temperature <= high:
            raise CheckpointError(
                f"temperature {self.temperature}: expected more than 0, from {low:g} to {high:g}"
            )
        if not self.max_input_s > 0:
            raise CheckpointError(f"max_input_s {self.max_input_s}: expected more than 0")
        for share, value in self.natural.items():
            if share not in NATURAL_SHARES or not 0 <= value <= 1:
                known = ", ".join(NATURAL_SHARES)
                raise CheckpointError(f"natural: {share} {value}, expected 0 to 1 for {known}")
        check_json("segment", self.segment)
        SegmentSettings.resolve({}, self.segment | {"piece_s": self.max_input_s})
        if self.segment.get("method") == GIVEN:
            raise CheckpointError("segment: found the method given, which needs a manifest")

    def summary(self) -> dict[str, Any]:
        """Held-out metrics of every fold and their mean; of several corpora only the means."""
        means = {name: each for name, each in self.metrics.items() if name.startswith("mean ")}
        return means or self.metrics


def is_checkpoint(path: Path) -> bool:
    """Whether a safetensors file has this program's metadata.

    Raises:
        CheckpointError: not a safetensors file.
    """
    with _opened(path, "np") as file:
        return KEY in (file.metadata() or {})


def read_info(path: Path) -> CheckpointInfo:
    """A checkpoint's metadata, without its weights.

    Raises:
        CheckpointError: not a safetensors file, or not one of this program.
    """
    with _opened(path, "np") as file:
        text = (file.metadata() or {}).get(KEY)
    if text is None:
        raise CheckpointError(
            f"{path}: a safetensors file without batch-ser's metadata; "
            "expected a checkpoint written by `batch-ser train`"
        )
    return info_of(path, text)


def info_of(path: Path, text: str) -> CheckpointInfo:
    """The metadata of a checkpoint file from its JSON.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        return _parsed(text)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its metadata is damaged ({one_line(error)})") from error


def _parsed(text: str) -> CheckpointInfo:
    if len(text) > MAX_METADATA_BYTES:
        raise CheckpointError(
            f"found {len(text):,} bytes of metadata, expected at most {MAX_METADATA_BYTES:,}"
        )
    stored = json.loads(text)
    if not isinstance(stored, dict) or not isinstance(settings := stored["settings"], dict):
        raise TypeError("expected an object, and one of settings in it")
    known = {field.name for field in fields(CheckpointInfo)}
    values = {key: value for key, value in stored.items() if key in known}
    renamed = {OLD_SETTINGS.get(key, key): settings[key] for key in settings}
    return CheckpointInfo(**values | {"settings": renamed})


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a safetensors file's tensors, of which none is read.

    Raises:
        CheckpointError: not a safetensors file.
    """
    with _opened(path, "np") as file:
        return {
            _current_name(name): tuple(file.get_slice(name).get_shape())
            for name in file.keys()  # noqa: SIM118
        }


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """A safetensors file's tensors, in float32 where they are stored as float16.

    Raises:
        CheckpointError: not a safetensors file, or one has numbers that are not finite.
    """
    with _opened(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    weights = {
        _current_name(name): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }
    check_finite(path, weights)
    return weights


def check_finite(path: Path | str, weights: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights with which every score would be NaN.

    Raises:
        CheckpointError: one is NaN or infinite.
    """
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(
                f"{path}: the weights {name} hold NaN or infinite numbers; expected finite ones: "
                "take an earlier or an undamaged file"
            )


@contextmanager
def _opened(path: Path, framework: str) -> Iterator[Any]:
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error


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

"""Whether the parts of a checkpoint fit each other, found out before memory is allocated for them.

The metadata names an architecture with its settings; built without memory (on torch's `meta`
device), it states the names and shapes of its weights, which the header of the file must have. So
a file cannot ask for more memory than its own size.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from batch_ser.errors import CheckpointError
from batch_ser.features import FRONT_ENDS
from models.architectures import build
from models.checkpoint import CheckpointInfo
from models.fields import check_value
from models.network import Network

Shapes = Mapping[str, tuple[int, ...]]
MAX_COMPUTED = 10_000_000  # numbers of buffers that are computed and not stored
RANGES: dict[str, tuple[float, float]] = {  # of a front end and of a feature extractor
    "rate_hz": (4_000, 48_000),
    "sampling_rate": (4_000, 48_000),
    "n_fft": (64, 4_096),
    "hop": (64, 4_096),
    "hop_length": (64, 4_096),
    "bands": (1, 1_024),
    "coefficients": (1, 1_024),
    "feature_size": (1, 1_024),
    "num_mel_bins": (1, 1_024),
    "frames": (1, 6_000),  # of 10 ms
    "max_length": (1, 6_000),
    "chunk_length": (1, 60),  # seconds
    "level": (-100, 100),
    "trim_db": (0, 200),
}


def check_compatible(info: CheckpointInfo, shapes: Shapes, part: str = "") -> None:
    """Compare metadata, network and the shapes in the file's header.

    `part` is what the names of all tensors begin with, where a file has only a part of them.

    Raises:
        CheckpointError: they do not fit each other.
    """
    with torch.device("meta"):
        network = build(info.architecture, len(info.labels), info.settings)
    _check_shapes(info.architecture, network, shapes, part)
    try:
        _check_input(info, network)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"front end {info.front_end}: {error}") from error


def _check_shapes(architecture: str, network: Network, shapes: Shapes, part: str) -> None:
    stored = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    expected = {name: shape for name, shape in stored.items() if name.startswith(part)}
    if wrong := sorted(
        name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name)
    ):
        name = wrong[0]
        raise CheckpointError(
            f"weights do not fit {architecture} with these settings and labels: of {len(wrong)} "
            f"tensors, such as {name}: found {shapes.get(name, 'none')}, expected "
            f"{expected.get(name, 'none')}"
        )
    computed = sum(each.numel() for name, each in network.named_buffers() if name not in stored)
    if computed > MAX_COMPUTED:
        raise CheckpointError(
            f"settings do not fit {architecture}: {computed:,} numbers would be computed, expected "
            f"at most {MAX_COMPUTED:,}"
        )


def _check_input(info: CheckpointInfo, network: Network) -> None:
    """What is stored beside the settings repeats what follows from them, or changes it a little."""
    found = (info.front_end, info.rate_hz)
    if found != (network.front_end, network.rate_hz):
        raise ValueError(
            f"found {found[0]} at {found[1]} Hz, expected {network.front_end} at "
            f"{network.rate_hz} Hz, which {info.architecture} takes"
        )
    if info.max_input_s > network.max_input_s:
        raise ValueError(
            f"max_input_s: found {info.max_input_s:g}, expected at most {network.max_input_s:g}"
        )
    parameters = inspect.signature(FRONT_ENDS[info.front_end]).parameters
    for name, value in info.front_end_settings.items():
        if name in parameters:  # `front_end` refuses others
            check_value(name, value, parameters[name].annotation)
    _check_ranges(info.front_end_settings)
    extractor = info.front_end_settings.get("extractor")
    if extractor != network.front_end_settings.get("extractor"):
        raise ValueError("found another feature extractor than in the settings, expected that one")
    _check_ranges(extractor or {})
    if info.front_end_settings.get("length_s", 0) > network.max_input_s:
        raise ValueError(f"length_s: expected at most {network.max_input_s:g}")


def _check_ranges(settings: Mapping[str, Any]) -> None:
    for name, (low, high) in RANGES.items():
        value = settings.get(name)
        if value is not None and not low <= value <= high:
            raise ValueError(f"{name}: found {value}, expected {low:,} to {high:,}")

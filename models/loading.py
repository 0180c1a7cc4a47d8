"""Checkpoints by name: shipped ones, files, also ONNX, and Hugging Face directories."""

import hashlib
from pathlib import Path

from batch_ser.errors import CheckpointError
from models.architectures import build
from models.checkpoint import CheckpointInfo, check_finite, read_info, read_shapes, read_weights
from models.compatibility import check_compatible
from models.device import usable_device
from models.directory import Directory, read_directory
from models.hf import build_from_directory
from models.network import Network
from models.offset_head import OffsetHead
from models.onnx_checkpoint import load_onnx
from models.onnx_file import ENDING as ONNX
from models.scoring import Checkpoint

SHIPPED = Path(__file__).parent / "checkpoints"
DIRECTORY = "hf:"


def resolve(model: str) -> str:
    """The checkpoint that `--model` names, absolute: a path, or `hf:` and a path.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    if model.startswith(DIRECTORY):
        return DIRECTORY + str(read_directory(Path(model.removeprefix(DIRECTORY))).path.resolve())
    if model in shipped_checkpoints():
        return str(SHIPPED / f"{model}.safetensors")
    if Path(model).is_dir():
        raise CheckpointError(
            f"--model {model}: a folder; expected a .safetensors or .onnx file, or hf:{model} for "
            "a Hugging Face directory"
        )
    if "/" not in model and not model.endswith((".safetensors", ONNX)):
        known = ", ".join(shipped_checkpoints())
        raise CheckpointError(
            f"--model {model}: expected {known}, a .safetensors or .onnx file, or hf:DIR"
        )
    if not Path(model).is_file():
        raise CheckpointError(f"--model {model}: there is no such file")
    return str(Path(model).resolve())


def shipped_checkpoints() -> list[str]:
    """Names of the checkpoints that come with the program."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def is_shipped(model: str) -> bool:
    """Whether `--model` names a checkpoint that comes with the program, wherever that is."""
    return model in shipped_checkpoints()


def digest_of(path: Path) -> str:
    """SHA-256 of a checkpoint file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_checkpoint(model: str | Path, device: str = "cpu") -> Checkpoint:
    """A checkpoint by its shipped name or path, or a Hugging Face directory as `hf:DIR`.

    Raises:
        CheckpointError: missing, damaged, or weights that do not fit the architecture.
        UsageError: an ONNX file on another device than the CPU.
    """
    found = resolve(str(model))
    if found.startswith(DIRECTORY):
        checkpoint = Checkpoint(*_load_directory(Path(found.removeprefix(DIRECTORY))), device)
    elif found.endswith(ONNX):
        info, network, digest = load_onnx(Path(found))
        _check_head(Path(found), network)
        checkpoint = Checkpoint(info, network, digest, usable_device(device, found))
    else:
        info, network = load_network(Path(found))
        checkpoint = Checkpoint(info, network, digest_of(Path(found)), device)
    try:
        checkpoint.check_scores()
    except CheckpointError as error:
        raise CheckpointError(f"{found}: {error}") from error
    return checkpoint


def load_network(path: Path) -> tuple[CheckpointInfo, Network]:
    """The metadata of a checkpoint file, and its network.

    Raises:
        CheckpointError: missing, damaged, or weights that do not fit the architecture.
    """
    info, shapes = read_info(path), read_shapes(path)
    try:
        check_compatible(info, shapes)
        network = build(info.architecture, len(info.labels), info.settings)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    network.load_state_dict(read_weights(path))
    _check_head(path, network)
    return info, network


def _check_head(path: Path, network: Network) -> None:
    try:
        if isinstance(head := getattr(network, "head", None), OffsetHead):
            head.check()
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _load_directory(path: Path) -> tuple[CheckpointInfo, Network, str]:
    """A directory as it is: metadata, network, digest.

    Raises:
        CheckpointError: not a Hugging Face directory, or not an audio classifier with its head.
    """
    directory = read_directory(path)
    _check_classifier(directory)
    network = build_from_directory(directory, len(directory.labels))
    weights = directory.weights(with_head=True)
    check_finite(path, weights)
    network.model.load_state_dict(weights)
    info = CheckpointInfo(
        name=path.resolve().name,
        architecture="hf",
        settings=network.stored_settings(),
        labels=directory.labels,
        front_end=network.front_end,
        front_end_settings=dict(network.front_end_settings),
        rate_hz=network.rate_hz,
        max_input_s=network.max_input_s,
        licence=f"not stated: see {path.resolve().name}'s own model card",
    )
    return info, network, directory.digest()


def _check_classifier(directory: Directory) -> None:
    """Refuse a model whose head would be random."""
    heads = [
        name
        for name in directory.config.get("architectures") or []
        if name.endswith(("ForSequenceClassification", "ForAudioClassification"))
    ]
    if not heads:
        found = ", ".join(directory.config.get("architectures") or ["no architecture"])
        raise CheckpointError(
            f"{directory.path}: found {found}, expected an audio classifier; a model without a "
            "trained head is fine-tuned first: batch-ser train --recipe hf --init DIR"
        )
    labels = directory.labels
    if len(set(labels)) < 2 or len(set(labels)) < len(labels):
        raise CheckpointError(
            f"{directory.path}: config.json names {len(labels)} labels (id2label: "
            f"{', '.join(labels) or 'none'}), expected two or more different ones"
        )
    problem = directory.config.get("problem_type")
    if problem not in (None, "single_label_classification"):
        raise CheckpointError(
            f"{directory.path}: found a model for {problem}, expected single_label_classification: "
            "one emotion for each segment"
        )

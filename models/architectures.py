"""The architectures by name. To add one: `models/<name>.py` and a line here."""

from collections.abc import Mapping
from typing import Any

import torch

from batch_ser.errors import CheckpointError
from models.acnt import ACNT
from models.ast import AST
from models.directory import one_line
from models.gap_cnn import GAPNet
from models.hf import HFNet
from models.mfcc_cnn import MFCCNet
from models.network import Network
from models.tdnn import TDNN
from models.vgg import VGG
from models.whisper import WhisperClassifier

ARCHITECTURES: dict[str, type[Network]] = {
    "ast": AST,
    "vgg": VGG,
    "mfcc_cnn": MFCCNet,
    "acnt": ACNT,
    "gap_cnn": GAPNet,
    "whisper": WhisperClassifier,
    "tdnn": TDNN,
    "hf": HFNet,
}


def build(architecture: str, labels: int, settings: Mapping[str, Any]) -> Network:
    """A network with random weights.

    Raises:
        CheckpointError: no such architecture, or settings that it does not have or cannot take.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise CheckpointError(f"architecture {architecture!r}: this version has {known}")
    try:
        return ARCHITECTURES[architecture](labels, **settings)
    except CheckpointError:  # transformers is missing
        raise
    except Exception as error:  # torch and transformers have errors of many kinds
        reason = one_line(error).replace(".__init__() got", ":")
        raise CheckpointError(f"settings do not fit {architecture}: {reason}") from error


def parameter_count(architecture: str, labels: int = 8) -> int | None:
    """Parameters of an architecture with default settings; None for hf, which has none."""
    if architecture == "hf":
        return None
    with torch.device("meta"):  # sizes only, no memory
        network = build(architecture, labels, {})
    return sum(parameter.numel() for parameter in network.parameters())

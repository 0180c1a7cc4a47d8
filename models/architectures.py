"""The architectures by name. To add one: `models/<name>.py` and a line here."""

from typing import Protocol

from torch import Tensor, nn

from batch_ser.features import Features
from models.whisper import WhisperClassifier


class Architecture(Protocol):
    """What a network must tell about itself; called with features it gives logits."""

    front_end: str  # a name in `batch_ser.features.FRONT_ENDS`
    rate_hz: int
    max_input_s: float

    def __call__(self, features: Features) -> Tensor: ...


ARCHITECTURES: dict[str, type[nn.Module]] = {
    "whisper": WhisperClassifier,
}


def parameter_count(architecture: str, labels: int = 8) -> int:
    """Parameters of an architecture with its default settings."""
    network = ARCHITECTURES[architecture](labels)
    return sum(parameter.numel() for parameter in network.parameters())

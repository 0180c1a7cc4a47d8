"""A CNN over MFCC: three convolution blocks, pooled to 4 x 4, two hidden dense layers.

The sizes are those of the emotion recognisers that this program descends from: 2,603,144
parameters for eight labels.
"""

from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor, nn

from batch_ser.features import Features
from models.fields import Checked
from models.network import Network, Scaling

COEFFICIENTS = 40


@dataclass(frozen=True)
class MFCCSettings(Checked):
    """Dropout after each convolution block and each hidden dense layer."""

    block_dropout: tuple[float, float, float] = (0.3, 0.3, 0.4)
    dense_dropout: tuple[float, float] = (0.5, 0.4)


class MFCCNet(Network):
    """(batch, 40, 94) MFCC -> 64, 128, 256 channels -> 4 x 4 -> 512 -> 256 -> labels."""

    front_end = "mfcc"
    front_end_settings = MappingProxyType({"length_s": 3.0, "coefficients": COEFFICIENTS})
    rate_hz = 16_000
    max_input_s = 3.0

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        self.settings = MFCCSettings(**settings)  # type: ignore[arg-type]
        self.scaling = Scaling(COEFFICIENTS)
        blocks: list[nn.Module] = []
        channels = 1
        for width, dropout in zip((64, 128, 256), self.settings.block_dropout, strict=True):
            blocks += [
                nn.Conv2d(channels, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Dropout(dropout),
            ]
            channels = width
        self.blocks = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten())
        first, second = self.settings.dense_dropout
        self.embedding_width = 256
        self.head = nn.Sequential(
            nn.Linear(16 * channels, 512),
            nn.BatchNorm1d(512),
            nn.ReLU(),
            nn.Dropout(first),
            nn.Linear(512, 256),
            nn.BatchNorm1d(256),
            nn.ReLU(),
            nn.Dropout(second),
            nn.Linear(256, labels),
        )

    def forward_embedding(self, features: Features) -> Tensor:
        return self.head[:-1](self.blocks(self.scaling(features.values)[:, None]))  # type: ignore[no-any-return]

    def forward_head(self, embeddings: Tensor) -> Tensor:
        return self.head[-1](embeddings)  # type: ignore[no-any-return]

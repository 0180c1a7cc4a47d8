"""A light CNN: ReLU, and global average pooling instead of dense layers.

Source of the pooling: Lin et al. 2013, Network in Network. Silence at both ends is trimmed by the
front end, so that the average is over speech.
"""

from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor, nn

from batch_ser.features import Features
from models.fields import Checked
from models.network import Network, Scaling

BANDS = 128
MOST_BLOCKS = 7  # each halves the bands


@dataclass(frozen=True)
class GAPSettings(Checked):
    """Channels of the blocks, and dropout before the only linear layer."""

    channels: tuple[int, ...] = (16, 32, 64, 128)
    dropout: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.channels) <= MOST_BLOCKS or min(self.channels) < 1:
            raise ValueError(f"channels {self.channels}: expected 1 to {MOST_BLOCKS} of 1 or more")


class GAPNet(Network):
    """(batch, 128, 130) dB -> convolution blocks -> mean over bands and time -> labels."""

    front_end = "log_mel"
    front_end_settings = MappingProxyType({"length_s": 3.0, "bands": BANDS, "trim_db": 30.0})
    rate_hz = 22_050
    max_input_s = 3.0

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        self.settings = GAPSettings(**settings)  # type: ignore[arg-type]
        self.scaling = Scaling(BANDS)
        blocks: list[nn.Module] = []
        inputs = 1
        for width in self.settings.channels:
            blocks += [
                nn.Conv2d(inputs, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.embedding_width = inputs
        self.head = nn.Sequential(nn.Dropout(self.settings.dropout), nn.Linear(inputs, labels))

    def forward_embedding(self, features: Features) -> Tensor:
        maps = self.blocks(self.scaling(features.values)[:, None])  # (batch, channels, bands, time)
        return maps.mean((2, 3))  # type: ignore[no-any-return]

    def forward_head(self, embeddings: Tensor) -> Tensor:
        return self.head(embeddings)  # type: ignore[no-any-return]

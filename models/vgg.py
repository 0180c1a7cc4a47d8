"""A VGG-like 2D CNN over mel bands in dB: four blocks of convolutions, three dense layers.

Source: Simonyan and Zisserman 2014 (the blocks); the sizes are those of the emotion recognisers
that this program descends from, 4,812,006 parameters for six labels.
"""

from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor, nn

from batch_ser.features import Features
from models.fields import Checked
from models.network import Network, Scaling

BANDS, FRAMES = 128, 130  # 3 s


@dataclass(frozen=True)
class VGGSettings(Checked):
    """Dropout after each block and each hidden dense layer."""

    block_dropout: float = 0.4
    dense_dropout: tuple[float, float] = (0.7, 0.5)


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def _dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)]


class VGG(Network):
    """(batch, 128, 130) dB -> blocks of 32, 64, 128, 256 channels -> 16,384 -> 256 -> 128."""

    front_end = "log_mel"
    front_end_settings = MappingProxyType({"length_s": 3.0, "bands": BANDS})
    rate_hz = 22_050
    max_input_s = 3.0

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        self.settings = VGGSettings(**settings)  # type: ignore[arg-type]
        self.scaling = Scaling(BANDS)
        blocks: list[nn.Module] = []
        channels = 1
        for width, convolutions in ((32, 2), (64, 2), (128, 2), (256, 1)):
            for _ in range(convolutions):
                blocks += _convolution(channels, width)
                channels = width
            blocks += [nn.MaxPool2d(2), nn.Dropout(self.settings.block_dropout)]
        self.blocks = nn.Sequential(*blocks)
        flat = channels * (BANDS // 16) * (FRAMES // 16)
        first, second = self.settings.dense_dropout
        self.embedding_width = 128
        self.head = nn.Sequential(
            nn.Flatten(),
            *_dense(flat, 256, first),
            *_dense(256, 128, second),
            nn.Linear(128, labels),
        )

    def forward_embedding(self, features: Features) -> Tensor:
        return self.head[:-1](self.blocks(self.scaling(features.values)[:, None]))  # type: ignore[no-any-return]

    def forward_head(self, embeddings: Tensor) -> Tensor:
        return self.head[-1](embeddings)  # type: ignore[no-any-return]

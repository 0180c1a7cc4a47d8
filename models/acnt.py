"""A CNN with residual blocks, a Transformer over its frames, and global average pooling.

Sources: He et al. 2015 (residual blocks, Kaiming initialisation), Vaswani et al. 2017 (the
encoder and its sinusoidal positions), Glorot and Bengio 2010 (Xavier initialisation).
"""

import math
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from batch_ser.features import Features
from models.fields import Checked
from models.network import Network, Scaling

BANDS = 40
CHANNELS = (16, 32, 64, 128)
STRIDES = ((2, 2), (2, 2), (2, 2), (2, 1))  # of bands and time: 40 x 174 becomes 3 x 22
STEPS = 22


@dataclass(frozen=True)
class ACNTSettings(Checked):
    """Sizes, and whether there is a Transformer."""

    use_transformer: bool = True
    transformer_dim: int = 128
    num_heads: int = 4
    num_layers: int = 2
    pe_max_len: int = 500
    dropout_rate: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_heads < 1 or self.num_layers < 1:
            raise ValueError(
                f"num_heads {self.num_heads}, num_layers {self.num_layers}: expected one or more "
                "(use_transformer=false goes without)"
            )
        if self.transformer_dim % (2 * self.num_heads):
            raise ValueError(
                f"transformer_dim {self.transformer_dim}: expected a multiple of twice num_heads "
                f"({self.num_heads})"
            )
        if self.use_transformer and self.pe_max_len < STEPS:
            raise ValueError(f"pe_max_len {self.pe_max_len}: the network has {STEPS} time steps")


class Residual(nn.Module):
    """Two 3 x 3 convolutions with batch norm beside a 1 x 1 shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.path(x) + self.shortcut(x))


def sinusoids(length: int, width: int) -> Tensor:
    """Positions (length, width): sines in even, cosines in odd columns."""
    angles = torch.arange(length)[:, None] * torch.exp(
        torch.arange(0, width, 2) * (-math.log(10_000.0) / width)
    )
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class ACNT(Network):
    """(batch, 40, 174) dB -> residual blocks -> linear -> Transformer -> mean over time."""

    front_end = "log_mel"
    front_end_settings = MappingProxyType({"length_s": 4.02, "bands": BANDS})
    rate_hz = 22_050
    max_input_s = 4.02
    positions: Tensor

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        self.settings = chosen = ACNTSettings(**settings)  # type: ignore[arg-type]
        self.scaling = Scaling(BANDS)
        sides = zip((1, *CHANNELS[:-1]), CHANNELS, STRIDES, strict=True)
        self.blocks = nn.Sequential(*(Residual(*side) for side in sides))
        width = chosen.transformer_dim
        bands = math.ceil(BANDS / 2 ** len(CHANNELS))
        self.project = nn.Linear(CHANNELS[-1] * bands, width)
        self.register_buffer("positions", sinusoids(chosen.pe_max_len, width), persistent=False)
        self.dropout = nn.Dropout(chosen.dropout_rate)
        self.encoder = nn.Identity()
        if chosen.use_transformer:
            layer = nn.TransformerEncoderLayer(  # normalised first: the other order did not learn
                width,
                chosen.num_heads,
                4 * width,
                chosen.dropout_rate,
                batch_first=True,
                norm_first=True,
            )
            self.encoder = nn.TransformerEncoder(
                layer, chosen.num_layers, nn.LayerNorm(width), enable_nested_tensor=False
            )
        self.embedding_width = width
        self.head = nn.Linear(width, labels)
        self.apply(_initialise)

    def forward_embedding(self, features: Features) -> Tensor:
        maps = self.blocks(self.scaling(features.values)[:, None])  # (batch, 128, 3, time)
        x = self.project(maps.flatten(1, 2).transpose(1, 2))  # (batch, time, width)
        if self.settings.use_transformer:
            x = self.encoder(self.dropout(x + self.positions[: x.shape[1]]))
        return x.mean(1)  # type: ignore[no-any-return]

    def forward_head(self, embeddings: Tensor) -> Tensor:
        return self.head(self.dropout(embeddings))  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    """Kaiming for convolutions, Xavier for linear layers."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.MultiheadAttention):
        nn.init.xavier_uniform_(module.in_proj_weight)

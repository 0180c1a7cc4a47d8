"""Whisper's Transformer blocks; the names of weights are Hugging Face's.

Source: Radford et al. 2022, github.com/openai/whisper (model.py).
"""

from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Multi-head self-attention; `k_proj` has no bias, as in Whisper."""

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        """`x` (batch, time, d); `attend` (batch, 1, 1, time), True before a segment's end."""
        q, k, v = (  # each (batch, heads, time, d/h)
            projection(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attend)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One pre-norm Transformer block."""

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(d_model, heads)
        self.self_attn_layer_norm = nn.LayerNorm(d_model)
        self.fc1 = nn.Linear(d_model, 4 * d_model)
        self.fc2 = nn.Linear(4 * d_model, d_model)
        self.final_layer_norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor, attend: Tensor | None) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x), attend)
        hidden = F.gelu(self.fc1(self.final_layer_norm(x)))
        return x + self.fc2(hidden)  # type: ignore[no-any-return]

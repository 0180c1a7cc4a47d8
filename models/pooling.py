"""Pooling over time that hears only what is there: statistics, and learned attention."""

import torch
from torch import Tensor, nn

ATTENTION_WIDTH = 128


def mask_of(frames: Tensor, length: int) -> Tensor:
    """(batch, length), True before each segment's own end."""
    return torch.arange(length, device=frames.device) < frames[:, None]


def statistics_pooling(states: list[Tensor], weights: Tensor) -> Tensor:
    """Weighted mean and standard deviation over the time of each state (batch, states * 2 * d).

    `weights` (batch, time) are normalised here: a mask gives each frame of a segment the same.
    """
    shares = (weights / weights.sum(1, keepdim=True))[:, :, None]
    pooled = []
    for state in states:
        mean = (state * shares).sum(1)
        variance = ((state - mean[:, None]) ** 2 * shares).sum(1)
        pooled += [mean, (variance + 1e-8).sqrt()]
    return torch.cat(pooled, dim=1)


class Attention(nn.Module):
    """How much each frame counts. Source: Okabe et al. 2018, attentive statistics pooling."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(width, ATTENTION_WIDTH), nn.Tanh(), nn.Linear(ATTENTION_WIDTH, 1)
        )

    def forward(self, state: Tensor, mask: Tensor) -> Tensor:
        """Weights (batch, time), zero where there is no sound."""
        scores = self.score(state).squeeze(2).masked_fill(~mask, float("-inf"))
        return torch.softmax(scores, 1)

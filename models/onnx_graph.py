"""A checkpoint as one graph: samples to embeddings, scores and probabilities, without branches.

The front end of a checkpoint goes through segments one by one, by FFT; a graph of ONNX takes a
batch with lengths, so that the STFT is a convolution with the DFT matrix here. Both are compared
in the tests. No network but those over Whisper's log-mel is exported: the other front ends are
those of librosa, torchaudio and transformers.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from batch_ser.features import (
    ACTIVE,
    FAINTEST,
    WHISPER_FFT,
    WHISPER_HOP,
    WHISPER_RATE_HZ,
    Features,
    whisper_filters,
)
from models.network import Network
from models.offset_head import OffsetHead
from models.pooling import mask_of

EDGE = WHISPER_FFT // 2  # samples that the STFT mirrors at each end
FLOOR, RANGE = 1e-10, 8.0  # Whisper's least power without a level; log10 of power below the loudest


class Scored(NamedTuple):
    """What the graph returns of a batch of segments."""

    embeddings: Tensor  # (batch, width)
    scores: Tensor  # (batch, labels): log-likelihoods at the usual offset, or logits
    probabilities: Tensor  # (batch, labels)


class LogMelGraph(nn.Module):
    """`batch_ser.features.whisper_log_mel` of a batch with lengths, the STFT as a convolution."""

    transform: Tensor
    filters: Tensor

    def __init__(self, level: float | None) -> None:
        super().__init__()
        self.level = level
        self.register_buffer("transform", _windowed_dft())
        self.register_buffer("filters", whisper_filters())

    def forward(self, samples: Tensor, lengths: Tensor) -> Features:
        """Features of samples (batch, time) whose own `lengths` (batch,) are in samples."""
        own = lengths.clamp(min=WHISPER_FFT)
        frames = own // WHISPER_HOP
        parts = F.conv1d(
            _mirrored(samples, lengths, own)[:, None], self.transform, None, WHISPER_HOP
        )
        real, imaginary = parts[:, :, :-1].chunk(2, dim=1)
        mel = self.filters @ (real.square() + imaginary.square())
        log = mel.clamp(min=FLOOR if self.level is None else FAINTEST).log10()
        mask = mask_of(frames, log.shape[2])
        loudness = log.amax(1).masked_fill(~mask, -math.inf)
        loudest = loudness.amax(1, keepdim=True)
        log = torch.maximum(log, (loudest - RANGE)[:, None])
        if self.level is not None:
            active = (loudness > loudest - ACTIVE).float()
            mean = (log.mean(1) * active).sum(1) / active.sum(1)
            log = log - mean[:, None, None] + self.level
        return Features((log + 4.0) / 4.0 * mask[:, None], frames)


def _windowed_dft() -> Tensor:
    """Real and imaginary parts of the DFT of a frame under Whisper's window: (402, 1, 400)."""
    time = torch.arange(WHISPER_FFT, dtype=torch.float64)
    bins = torch.arange(WHISPER_FFT // 2 + 1, dtype=torch.float64)
    angles = 2 * math.pi / WHISPER_FFT * ((bins[:, None] * time) % WHISPER_FFT)
    window = torch.hann_window(WHISPER_FFT, dtype=torch.float64)
    return (torch.cat([angles.cos(), -angles.sin()]) * window)[:, None].float()


def _mirrored(samples: Tensor, lengths: Tensor, own: Tensor) -> Tensor:
    """Samples with a mirrored edge at each end of each segment: (batch, time + 400).

    A segment of less than a frame is padded with zeros to its `own` length first.
    """
    width = samples.shape[1]
    known = samples * mask_of(lengths, width)
    last = own[:, None] - 1
    width = torch.sym_max(width, WHISPER_FFT)  # type: ignore[no-untyped-call]
    position = (torch.arange(width + 2 * EDGE, device=samples.device) - EDGE).abs()[None]
    position = torch.where(position > last, 2 * last - position, position).clamp(min=0)
    return F.pad(known, (0, WHISPER_FFT)).gather(1, position)


class ScoringGraph(nn.Module):
    """Front end, network, head and calibration of a checkpoint, for an export."""

    log_prior: Tensor

    def __init__(
        self, network: Network, level: float | None, temperature: float, prior: Tensor | None
    ) -> None:
        super().__init__()
        self.front_end = LogMelGraph(level)
        self.network = network
        self.temperature = temperature
        prior = torch.ones(()) if prior is None else prior
        # not -inf, which some quantisers and runtimes take for a fault
        self.register_buffer("log_prior", prior.log().clamp(min=-1e4).float())

    def forward(self, samples: Tensor, lengths: Tensor) -> Scored:
        features = self.front_end(samples, lengths)
        embeddings = self.network.forward_embedding(self.network.forward_frozen(features))
        if isinstance(head := self.network.head, OffsetHead):
            scores = usual_log_likelihoods(head, embeddings, lengths / WHISPER_RATE_HZ)
        else:
            scores = self.network.forward_head(embeddings)
        logits = scores / self.temperature + self.log_prior
        return Scored(embeddings, scores, torch.softmax(logits, dim=1))


def usual_log_likelihoods(head: OffsetHead, embeddings: Tensor, durations_s: Tensor) -> Tensor:
    """`OffsetHead.log_likelihoods` (batch, labels) at the usual offset, whose axes are alike."""
    noise = 1 + head.short_s / durations_s.clamp(min=1e-3) + head.conditions
    return head(embeddings) / noise[:, None]  # type: ignore[no-any-return]

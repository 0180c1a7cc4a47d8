"""Front ends: what a network hears instead of samples.

Each works on one segment alone (its STFT edges, its own maximum) and pads only then, so that a
segment's features never depend on its neighbours in a batch.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torchaudio

from batch_ser.audio import Samples

WHISPER_RATE_HZ = 16_000
WHISPER_FFT = 400  # 25 ms
WHISPER_HOP = 160  # 10 ms
WHISPER_MELS = 80


class Features(NamedTuple):
    """A batch (batch, bands, frames), zero from each segment's own `frames` (batch,) on."""

    values: torch.Tensor
    frames: torch.Tensor


@cache
def _whisper_filters() -> torch.Tensor:
    """Whisper's mel filters (80, 201): librosa's, without the 130 MB that it takes to load."""
    filters: torch.Tensor = torchaudio.functional.melscale_fbanks(
        WHISPER_FFT // 2 + 1,
        0.0,
        WHISPER_RATE_HZ / 2,
        WHISPER_MELS,
        WHISPER_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return filters.T.contiguous()


def _whisper_one(samples: Samples, window: torch.Tensor) -> torch.Tensor:
    """Log-mel of one segment (80, frames of 10 ms), as whisper/audio.py computes it."""
    if len(samples) < WHISPER_FFT:  # the STFT mirrors 200 samples at each edge
        samples = np.pad(samples, (0, WHISPER_FFT - len(samples)))
    stft = torch.stft(
        torch.from_numpy(samples).to(window.device),
        WHISPER_FFT,
        WHISPER_HOP,
        window=window,
        return_complex=True,
    )
    power = stft[:, :-1].abs() ** 2
    log = (_whisper_filters().to(window.device) @ power).clamp(min=1e-10).log10()
    return (log.clamp(min=log.max() - 8.0) + 4.0) / 4.0


def whisper_log_mel(segments: Sequence[Samples], device: torch.device) -> Features:
    """Whisper's 80 log-mel bands of segments at 16 kHz, each of its own length, zero-padded."""
    window = torch.hann_window(WHISPER_FFT, device=device)
    each = [_whisper_one(samples, window) for samples in segments]
    values = torch.nn.utils.rnn.pad_sequence([one.T for one in each], batch_first=True)
    frames = torch.tensor([one.shape[1] for one in each], device=device)
    return Features(values.transpose(1, 2), frames)


FRONT_ENDS: dict[str, Callable[[Sequence[Samples], torch.device], Features]] = {
    "whisper_log_mel": whisper_log_mel,
}

"""Augmentation of features: SpecAugment's masks and noise on one example, mixup on a batch."""

import numpy as np
import torch

from batch_ser.features import Features
from train.augmentation.settings import Augmentation

Generator = np.random.Generator


def change_features(
    values: torch.Tensor, augmentation: Augmentation, draw: Generator
) -> torch.Tensor:
    """One example's features (bands, frames): SpecAugment's masks and spectral noise.

    Masks take the example's mean. Source: Park et al. 2019, SpecAugment.
    """
    if not (augmentation.time_masks or augmentation.band_masks or augmentation.spectral_noise):
        return values
    bands, frames = values.shape
    values = values.clone()
    if augmentation.spectral_noise:
        noise = draw.standard_normal((bands, frames), dtype=np.float32)
        values += torch.from_numpy(noise) * (augmentation.spectral_noise * values.std(correction=0))
    mean = values.mean()
    for _ in range(augmentation.time_masks):
        first, width = _span(frames, augmentation.time_mask_frames, draw)
        values[:, first : first + width] = mean
    for _ in range(augmentation.band_masks):
        first, width = _span(bands, augmentation.band_mask_width, draw)
        values[first : first + width] = mean
    return values


def _span(length: int, widest: int, draw: Generator) -> tuple[int, int]:
    """First and width of a mask: at most `widest`, and at most a third of everything."""
    width = int(draw.integers(0, min(widest, length // 3) + 1))
    return int(draw.integers(0, length - width + 1)), width


def mix(
    features: Features,
    targets: torch.Tensor,
    possible: torch.Tensor,
    augmentation: Augmentation,
    draw: Generator,
) -> tuple[Features, torch.Tensor, torch.Tensor]:
    """Mixup of a batch's features, targets (batch, labels) and possible labels (batch, labels).

    Source: Zhang et al. 2018.
    """
    if not augmentation.mixup:
        return features, targets, possible
    share = float(draw.beta(augmentation.mixup, augmentation.mixup))
    other = torch.from_numpy(draw.permutation(len(targets)))
    values = share * features.values + (1 - share) * features.values[other]
    frames = torch.maximum(features.frames, features.frames[other])
    mixed = share * targets + (1 - share) * targets[other]
    return Features(values, frames), mixed, possible | possible[other]

"""What augmentation may do to a training example; everything can be switched off."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from batch_ser.errors import UsageError

RATIOS = ("noise_snr_db", "babble_snr_db")
OF_FEATURES = {
    "time_masks",
    "time_mask_frames",
    "band_masks",
    "band_mask_width",
    "spectral_noise",
    "mixup",
}


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training example; None or 0 switches a thing off."""

    probability: float = 0.5  # of each change of the samples
    gain_db: float | None = None  # up to so much louder or softer
    noise_snr_db: tuple[float, float] | None = None  # Gaussian noise, between these ratios
    babble_snr_db: tuple[float, float] | None = None  # many voices, between these ratios
    pitch_semitones: float | None = None  # up to so much higher or lower, at the same tempo
    stretch: float | None = None  # up to this share faster or slower, at the same pitch
    speed: float | None = None  # up to this share faster and higher, or slower and lower
    polarity: bool = False  # the signal times -1
    reverb_s: float | None = None  # up to this reverberation time
    tilt_db: float | None = None  # bass and treble up to so much louder or softer
    telephone: bool = False  # through 8 kHz and one of `telephone.CODECS`
    cut_s: float | None = None  # a part of at least this, without the silence around the speech
    pad: bool = False  # a short recording lies anywhere within what the network takes at once
    time_masks: int = 0  # SpecAugment: so many spans of time at the mean
    time_mask_frames: int = 20
    band_masks: int = 0  # SpecAugment: so many groups of bands at the mean
    band_mask_width: int = 12
    spectral_noise: float = 0.0  # Gaussian, in standard deviations of the features
    mixup: float = 0.0  # parameter of the Beta distribution

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"augmentation.probability={self.probability}: expected 0 to 1")
        for name in ("stretch", "speed"):
            if (share := getattr(self, name)) is not None and not 0 <= share < 1:
                raise UsageError(f"augmentation.{name}={share}: expected a share from 0 to below 1")
        for name, value in asdict(self).items():
            if name not in RATIOS and value is not None and not 0 <= value < np.inf:
                raise UsageError(f"augmentation.{name}={value}: expected 0 or more")
        for name in RATIOS:
            pair = getattr(self, name)
            if pair is not None and (len(pair) != 2 or pair[0] > pair[1]):
                raise UsageError(f"augmentation.{name}={pair}: expected [LOWEST, HIGHEST] in dB")

    def of_samples(self) -> dict[str, Any]:
        """What changes samples, as far as it is switched on: cached features depend on it."""
        every = asdict(self).items()
        return {name: value for name, value in every if value and name not in OF_FEATURES}

"""Changed recordings and features: noise, babble, reverberation, telephone codecs, masks, mixup."""

from train.augmentation.babble_noise import VOICES, Voices, babble, babblers, with_noise
from train.augmentation.features import change_features, mix
from train.augmentation.samples import change_samples, played
from train.augmentation.settings import Augmentation
from train.augmentation.telephone import CODECS, PEAK, telephoned

__all__ = [
    "CODECS",
    "PEAK",
    "VOICES",
    "Augmentation",
    "Voices",
    "babble",
    "babblers",
    "change_features",
    "change_samples",
    "mix",
    "played",
    "telephoned",
    "with_noise",
]

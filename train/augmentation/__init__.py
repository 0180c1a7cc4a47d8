"""Changed recordings and features: noise, babble, rooms, telephone codecs, masks, mixup."""

from train.augmentation.augment import Augment, change_features, change_samples, mix, played
from train.augmentation.babble_noise import VOICES, Voices, babble, babblers, with_noise
from train.augmentation.telephone import CODECS, PEAK, telephoned

__all__ = [
    "CODECS",
    "PEAK",
    "VOICES",
    "Augment",
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

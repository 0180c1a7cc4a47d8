"""Recipes: named presets of everything that a training does; `overrides.py` changes any field.

The learning rates, epochs and augmentation of the presets are for RAVDESS on a CPU; a GPU affords
more epochs and views.
"""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from batch_ser.errors import UsageError
from train.augmentation import Augment
from train.recipes.settings import Distillation, LDASettings

CHOICES = {
    "fit": ("gradient", "linear", "lda"),
    "optimiser": ("adamw", "adam"),
    "schedule": ("constant", "cosine", "plateau"),
    "monitor": ("uar", "macro_f1", "accuracy", "loss", "last"),
    "crop": ("random", "centre", "start"),
    "precision": ("float32", "mixed"),
}
POSITIVE = (
    "epochs", "batch_size", "alike", "patience", "learning_rate", "pretrained_rate",
    "regularisation", "max_iterations", "clip", "crop_s",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Everything that a training does, but for the data, the split and the seed."""

    name: str
    architecture: str
    settings: dict[str, Any] = field(default_factory=dict)  # of the network
    front_end: dict[str, Any] = field(default_factory=dict)  # instead of the network's defaults
    # gradient; or on a frozen encoder: linear, a logistic regression, or lda, the offset head
    fit: str = "gradient"
    # linear
    speeds: tuple[float, ...] = (1.0,)  # the training side is also played at these speeds
    regularisation: float = 0.01  # inverse strength, scikit-learn's C
    max_iterations: int = 500
    # lda
    lda: LDASettings = field(default_factory=LDASettings)
    # gradient: the optimiser
    epochs: int = 40
    batch_size: int = 32
    alike: int = 1  # so many batches at a time are drawn together and sorted by length: no padding
    optimiser: str = "adamw"
    learning_rate: float = 1e-3
    pretrained_rate: float | None = None  # of the part that comes pretrained; none: the same
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warm_up: float = 0.1  # share of all steps, for cosine
    plateau_patience: int = 4  # epochs without progress before the rate is halved, for plateau
    clip: float | None = 1.0  # largest norm of the gradient
    precision: str = "mixed"  # with bfloat16 where the hardware has it; else all in float32
    half: bool = False  # weights are rounded to float16, for a file of half the size; lda: encoder
    # gradient: the loss and when to stop
    label_smoothing: float = 0.0
    class_weights: bool = False  # rare labels count more, in inverse proportion
    probe: bool = False  # the head starts as a logistic regression on the untouched network
    monitor: str = "uar"  # of the valid side; its best epoch is kept. last: the last one is
    patience: int = 12  # epochs without progress before the training ends
    refit: bool = False  # calibrated, the network is trained anew on the valid side, too
    valid_share: float = 0.1  # held out for this where the split has no valid side
    distil: Distillation = field(default_factory=Distillation)
    # gradient and lda: what the network is given
    crop: str = "random"  # which part of a recording that is longer than `crop_s`
    crop_s: float | None = None  # none: what the network takes at once
    views: int = 1  # of a recording, in turn: the first as it is, others augmented; 0: always new
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"{name}={getattr(self, name)}: expected {' or '.join(known)}")
        for name in POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name}={value}: expected more than 0")
        for name in ("weight_decay", "plateau_patience", "views"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name}={getattr(self, name)}: expected 0 or more")
        if not 0 <= self.warm_up <= 1:
            raise UsageError(f"warm_up={self.warm_up}: expected a share from 0 to 1")
        if not 0 < self.valid_share < 1 or not 0 <= self.label_smoothing < 1:
            raise UsageError("valid_share and label_smoothing: expected shares between 0 and 1")
        if not self.speeds or not all(0.1 <= speed <= 10 for speed in self.speeds):
            raise UsageError("speeds: expected one or more of 0.1 to 10")

    def stored(self) -> dict[str, Any]:
        """Every field, as a checkpoint and `config.json` keep it."""
        return asdict(self)


LIGHT = Augment(gain_db=6.0, noise_snr_db=(15.0, 40.0), speed=0.1)
MASKS = replace(LIGHT, time_masks=2, time_mask_frames=12, band_masks=2, band_mask_width=12)

CHANNELS = Augment(  # whatever stands between a voice and a recording of it
    probability=0.4, speed=0.15, reverb_s=0.5, tilt_db=10.0, noise_snr_db=(5.0, 30.0),
    babble_snr_db=(5.0, 25.0), telephone=True, cut_s=1.0,
)  # fmt: skip
CUT = Augment(probability=1.0, cut_s=0.5)  # a segment as a job finds it, without silence around it
OFFSET = {"hidden": 64, "head": "offset"}

RECIPES: dict[str, Recipe] = {
    each.name: each
    for each in (
        Recipe(
            "ast", "ast", epochs=10, batch_size=16, learning_rate=1e-4, pretrained_rate=5e-5,
            label_smoothing=0.1, patience=5, views=2,
            augment=replace(LIGHT, time_masks=2, time_mask_frames=48, band_masks=2,
                            band_mask_width=24, mixup=0.3),
        ),
        Recipe(
            "vgg", "vgg", {"dense_dropout": [0.5, 0.4]}, epochs=60, batch_size=16,
            optimiser="adam", learning_rate=5e-4, weight_decay=0.0, patience=25, views=2,
            augment=Augment(speed=0.1),
        ),
        Recipe(
            "mfcc-cnn", "mfcc_cnn", epochs=30, optimiser="adam", schedule="plateau",
            weight_decay=0.0, patience=10, views=3, augment=LIGHT,
        ),
        Recipe(
            "acnt", "acnt", {"dropout_rate": 0.1}, epochs=40, learning_rate=1e-3,
            weight_decay=0.05, patience=15, label_smoothing=0.1, views=3,
            augment=replace(MASKS, band_mask_width=4),  # of 40
        ),
        Recipe(
            "gap-cnn", "gap_cnn", epochs=40, batch_size=16, learning_rate=4e-3, patience=20,
            views=3, augment=Augment(gain_db=6.0, speed=0.1, time_masks=2, time_mask_frames=12),
        ),
        Recipe(
            "whisper-frozen", "whisper", {"taps": [2, 3, 4]}, fit="linear", speeds=(1.0, 0.9, 1.1),
        ),
        Recipe(  # the frozen encoder with a layer of its own, and many views
            "whisper-mlp", "whisper",
            {"taps": [1, 2, 3, 4], "hidden": 512, "hidden_dropout": 0.2, "dropout": 0.5},
            {"level": -4.3}, epochs=80, batch_size=64, learning_rate=3e-4, weight_decay=0.05,
            label_smoothing=0.1, monitor="loss", patience=80, views=7,
            augment=Augment(probability=1.0, speed=0.2, mixup=0.4),
        ),
        Recipe(  # the shipped checkpoint: two blocks of the frozen encoder, statistics of speech
            "accurate", "whisper",
            {"taps": [1, 2], "layers": 2, "final_norm": False, "pooling": "active"} | OFFSET,
            {"level": -4.3}, fit="lda", views=2, augment=CUT,
        ),
        Recipe(  # a small network with an encoder distilled from these two blocks
            "student", "tdnn", OFFSET, {"level": -4.3}, fit="lda", half=True, views=2, augment=CUT,
            distil=Distillation(epochs=60, augment=CHANNELS),
        ),
        Recipe(  # the same network with the encoder of a checkpoint
            "fast", "tdnn", OFFSET, {"level": -4.3}, fit="lda", half=True, views=2, augment=CUT,
        ),
        Recipe(  # whole recordings: a crop has less silence, and the statistics hear that
            "whisper", "whisper", {"taps": [1, 2, 3, 4], "frozen_layers": 2, "dropout": 0.2},
            epochs=12, learning_rate=1e-4, pretrained_rate=1e-4, weight_decay=0.05, probe=True,
            label_smoothing=0.1, views=3,
            augment=Augment(probability=1.0, speed=0.1, time_masks=2, time_mask_frames=20),
        ),
        Recipe(
            "hf", "hf", epochs=10, batch_size=16, learning_rate=1e-3, pretrained_rate=3e-5,
            label_smoothing=0.1, patience=5, crop_s=3.0, views=2, augment=LIGHT,
        ),
    )
}  # fmt: skip

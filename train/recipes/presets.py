"""The recipes that `--recipe` names; `overrides.py` changes any of their fields.

The learning rates, epochs and augmentation are for RAVDESS on a CPU; a GPU affords more epochs and
views.
"""

from dataclasses import replace
from typing import Any

from train.augmentation import Augmentation
from train.recipes.recipe import Recipe
from train.recipes.settings import Distillation, LinearFit, Optimisation

LIGHT = Augmentation(gain_db=6.0, noise_snr_db=(15.0, 40.0), speed=0.1)
MASKS = replace(LIGHT, time_masks=2, time_mask_frames=12, band_masks=2, band_mask_width=12)
CHANNELS = Augmentation(  # what may lie between a voice and a recording of it
    probability=0.4,
    speed=0.15,
    reverb_s=0.5,
    tilt_db=10.0,
    noise_snr_db=(5.0, 30.0),
    babble_snr_db=(5.0, 25.0),
    telephone=True,
    cut_s=1.0,
)
# a segment as a job finds it, without silence around it
CUT = Augmentation(probability=1.0, cut_s=0.5)

OFFSET_HEAD: dict[str, Any] = {"hidden": 64, "head": "offset"}
NORMALISED = {"level": -4.3}  # the mean log10 power that every segment's active frames are moved to

AST = Recipe(
    "ast",
    "ast",
    optimisation=Optimisation(
        epochs=10,
        batch_size=16,
        learning_rate=1e-4,
        pretrained_rate=5e-5,
        label_smoothing=0.1,
        patience=5,
    ),
    views=2,
    augmentation=replace(
        LIGHT, time_masks=2, time_mask_frames=48, band_masks=2, band_mask_width=24, mixup=0.3
    ),
)
VGG = Recipe(
    "vgg",
    "vgg",
    {"dense_dropout": [0.5, 0.4]},
    optimisation=Optimisation(
        epochs=60,
        batch_size=16,
        optimiser="adam",
        learning_rate=5e-4,
        weight_decay=0.0,
        patience=25,
    ),
    views=2,
    augmentation=Augmentation(speed=0.1),
)
MFCC_CNN = Recipe(
    "mfcc-cnn",
    "mfcc_cnn",
    optimisation=Optimisation(
        epochs=30, optimiser="adam", schedule="plateau", weight_decay=0.0, patience=10
    ),
    views=3,
    augmentation=LIGHT,
)
ACNT = Recipe(
    "acnt",
    "acnt",
    {"dropout_rate": 0.1},
    optimisation=Optimisation(
        epochs=40, learning_rate=1e-3, weight_decay=0.05, patience=15, label_smoothing=0.1
    ),
    views=3,
    augmentation=replace(MASKS, band_mask_width=4),  # of 40
)
GAP_CNN = Recipe(
    "gap-cnn",
    "gap_cnn",
    optimisation=Optimisation(epochs=40, batch_size=16, learning_rate=4e-3, patience=20),
    views=3,
    augmentation=Augmentation(gain_db=6.0, speed=0.1, time_masks=2, time_mask_frames=12),
)
WHISPER_FROZEN = Recipe(
    "whisper-frozen",
    "whisper",
    {"taps": [2, 3, 4]},
    fit="linear",
    linear=LinearFit(speeds=(1.0, 0.9, 1.1)),
)
WHISPER_MLP = Recipe(  # the frozen encoder with a layer that learns, and many views
    "whisper-mlp",
    "whisper",
    {"taps": [1, 2, 3, 4], "hidden": 512, "hidden_dropout": 0.2, "dropout": 0.5},
    NORMALISED,
    optimisation=Optimisation(
        epochs=80,
        batch_size=64,
        learning_rate=3e-4,
        weight_decay=0.05,
        label_smoothing=0.1,
        monitor="loss",
        patience=80,
    ),
    views=7,
    augmentation=Augmentation(probability=1.0, speed=0.2, mixup=0.4),
)
ACCURATE = Recipe(  # the shipped checkpoint: two blocks of the frozen encoder, speech statistics
    "accurate",
    "whisper",
    {"taps": [1, 2], "layers": 2, "final_norm": False, "pooling": "active"} | OFFSET_HEAD,
    NORMALISED,
    fit="lda",
    views=2,
    augmentation=CUT,
)
# a small network with the encoder of a checkpoint
FAST = Recipe(
    "fast",
    "tdnn",
    OFFSET_HEAD,
    NORMALISED,
    fit="lda",
    float16=True,
    views=2,
    augmentation=CUT,
)
# the same network with an encoder distilled from the two blocks of `accurate`
STUDENT = replace(FAST, name="student", distillation=Distillation(epochs=60, augmentation=CHANNELS))
HEAD = Recipe("head", "", fit="head")  # of the architecture of the checkpoint
WHISPER = Recipe(  # whole recordings: a crop has less silence, which the statistics depend on
    "whisper",
    "whisper",
    {"taps": [1, 2, 3, 4], "frozen_layers": 2, "dropout": 0.2},
    optimisation=Optimisation(
        epochs=12,
        learning_rate=1e-4,
        pretrained_rate=1e-4,
        weight_decay=0.05,
        linear_probe_initialisation=True,
        label_smoothing=0.1,
    ),
    views=3,
    augmentation=Augmentation(probability=1.0, speed=0.1, time_masks=2, time_mask_frames=20),
)
HF = Recipe(
    "hf",
    "hf",
    optimisation=Optimisation(
        epochs=10,
        batch_size=16,
        learning_rate=1e-3,
        pretrained_rate=3e-5,
        label_smoothing=0.1,
        patience=5,
    ),
    crop_s=3.0,
    views=2,
    augmentation=LIGHT,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        AST,
        VGG,
        MFCC_CNN,
        ACNT,
        GAP_CNN,
        WHISPER_FROZEN,
        WHISPER_MLP,
        ACCURATE,
        STUDENT,
        FAST,
        HEAD,
        WHISPER,
        HF,
    )
}

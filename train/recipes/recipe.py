"""A recipe: everything that a training does, in groups of fields."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from batch_ser.errors import UsageError
from train.augmentation import Augmentation
from train.recipes.settings import (
    Distillation,
    HeadSettings,
    LDASettings,
    LinearFit,
    Optimisation,
)

FITS = ("gradient", "linear", "lda", "head")
CROPS = ("random", "centre", "start")


@dataclass(frozen=True)
class Recipe:
    """Everything that a training does, but for the data, the split and the seed."""

    name: str
    architecture: str
    settings: dict[str, Any] = field(default_factory=dict)  # of the network
    front_end: dict[str, Any] = field(default_factory=dict)  # instead of the network's defaults
    # gradient; or on a frozen encoder: linear, a logistic regression; lda, the offset head; or
    # head, the head of a checkpoint, moved towards labels
    fit: str = "gradient"
    # weights are rounded to what float16 holds, for a file of half the size; lda: the encoder's
    float16: bool = False
    distillation: Distillation = field(default_factory=Distillation)
    optimisation: Optimisation = field(default_factory=Optimisation)  # of fit=gradient
    linear: LinearFit = field(default_factory=LinearFit)
    lda: LDASettings = field(default_factory=LDASettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    # gradient and lda: the network's inputs
    crop: str = "random"  # which part of a recording that is longer than `crop_s`
    crop_s: float | None = None  # none: what the network takes at once
    views: int = 1  # of a recording, in turn: the first as it is, others augmented; 0: always new
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name, known in (("fit", FITS), ("crop", CROPS)):
            if (value := getattr(self, name)) not in known:
                raise UsageError(f"{name}={value}: expected {' or '.join(known)}")
        if self.crop_s is not None and not 0 < self.crop_s < math.inf:
            raise UsageError(f"crop_s={self.crop_s}: expected more than 0")
        if self.views < 0:
            raise UsageError(f"views={self.views}: expected 0 or more")

    @property
    def is_quick(self) -> bool:
        """Whether a fit takes seconds, since the encoder is frozen, so that several are cheap."""
        return self.fit in ("linear", "lda", "head") and not self.distillation.epochs

    @property
    def valid_share(self) -> float:
        """The share of a valid side that a split does not name; 0 where the fit needs none."""
        return self.optimisation.valid_share if self.fit == "gradient" else 0.0

    def stored(self) -> dict[str, Any]:
        """Every field, as a checkpoint and `config.json` keep it."""
        return asdict(self)

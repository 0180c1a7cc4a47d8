"""Settings of parts of a training: groups of a recipe's fields, each checked when it is made."""

import math
from dataclasses import dataclass, field

from batch_ser.errors import UsageError
from train.augmentation import Augment


@dataclass(frozen=True)
class Distillation:
    """How a student's encoder is distilled from Whisper's, before anything else is fitted."""

    epochs: int = 0  # 0: it is not
    learning_rate: float = 2e-3
    views: int = 3
    layers: int = 2  # of the teacher, the first ones: they carry over best
    augment: Augment = field(default_factory=Augment)  # of these views

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("views", 1), ("layers", 1)):
            if (value := getattr(self, name)) < least:
                raise UsageError(f"distil.{name}={value}: expected {least} or more")
        if not 0 < self.learning_rate < math.inf:
            raise UsageError(f"distil.learning_rate={self.learning_rate}: expected more than 0")


@dataclass(frozen=True)
class LDASettings:
    """How the covariance of the noise is put together, and what cannot be fitted on few corpora."""

    shrinkage: float = 0.7  # towards a multiple of the identity
    disagreement: float = 10.0  # weight of what corpora disagree about a label
    mixture: float = 20.0  # strength of the Dirichlet distribution of an archive's mixture
    conditions: float = 2.0  # variance of offsets between corpora, where there is only one
    speakers: float = 1.0  # and between speakers, where they are not known

    def __post_init__(self) -> None:
        if not 0 <= self.shrinkage <= 1:
            raise UsageError(f"lda.shrinkage={self.shrinkage:g}: expected a share from 0 to 1")
        for name in ("disagreement", "mixture", "conditions", "speakers"):
            if not 0 <= (value := getattr(self, name)) < float("inf"):
                raise UsageError(f"lda.{name}={value:g}: expected 0 or more")

"""Groups of a recipe's fields; each checks itself when it is made."""

import math
from dataclasses import dataclass, field

from batch_ser.errors import UsageError
from train.augmentation import Augmentation


@dataclass(frozen=True)
class Distillation:
    """Feature distillation of a student's encoder from Whisper's, before any other fit."""

    epochs: int = 0  # 0: none
    learning_rate: float = 2e-3
    views: int = 3
    layers: int = 2  # of the teacher, the first ones: they carry over best
    augmentation: Augmentation = field(default_factory=Augmentation)  # of these views

    def __post_init__(self) -> None:
        _check_positive(self, "distillation", ("views", "layers", "learning_rate"))
        _check_not_negative(self, "distillation", ("epochs",))


@dataclass(frozen=True)
class Optimisation:
    """Gradient descent: steps and rates, the loss, and when a training ends."""

    epochs: int = 40
    batch_size: int = 32
    bucket_batches: int = 1  # length bucketing: so many batches are drawn and sorted together
    optimiser: str = "adamw"
    learning_rate: float = 1e-3
    pretrained_rate: float | None = None  # of the part that comes pretrained; none: the same
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warm_up: float = 0.1  # share of all steps, for cosine
    plateau_patience: int = 4  # epochs without progress before the rate is halved, for plateau
    clip: float | None = 1.0  # largest norm of the gradient
    precision: str = "mixed"  # with bfloat16 where the hardware has it; else all in float32
    label_smoothing: float = 0.0
    class_weights: bool = False  # rare labels count more, in inverse proportion
    monitor: str = "uar"  # of the valid side; its best epoch is kept. last: the last one is
    patience: int = 12  # epochs without progress before the training ends
    refit: bool = False  # calibrated, the network is trained anew on the valid side, too
    valid_share: float = 0.1  # held out for this where the split has no valid side
    linear_probe_initialisation: bool = False  # the head starts as a logistic regression

    def __post_init__(self) -> None:
        group = "optimisation"
        _check_choice(self, group, "optimiser", ("adamw", "adam"))
        _check_choice(self, group, "schedule", ("constant", "cosine", "plateau"))
        _check_choice(self, group, "monitor", ("uar", "macro_f1", "accuracy", "loss", "last"))
        _check_choice(self, group, "precision", ("float32", "mixed"))
        counts = ("epochs", "batch_size", "bucket_batches", "patience")
        _check_positive(self, group, (*counts, "learning_rate", "pretrained_rate", "clip"))
        _check_not_negative(self, group, ("weight_decay", "plateau_patience"))
        if not 0 <= self.warm_up <= 1:
            raise UsageError(f"{group}.warm_up={self.warm_up}: expected a share from 0 to 1")
        if not 0 < self.valid_share < 1 or not 0 <= self.label_smoothing < 1:
            raise UsageError(
                f"{group}.valid_share={self.valid_share}, {group}.label_smoothing="
                f"{self.label_smoothing}: expected shares between 0 and 1"
            )
        if self.refit and self.monitor != "last":
            raise UsageError(
                f"{group}.refit=true: found {group}.monitor={self.monitor}, expected "
                f"{group}.monitor=last"
            )


@dataclass(frozen=True)
class LinearFit:
    """A logistic regression on embeddings: `fit=linear`, or a linear-probe initialisation."""

    speeds: tuple[float, ...] = (1.0,)  # fit=linear: the training side is also played at these
    regularisation: float = 0.01  # inverse strength, scikit-learn's C
    max_iterations: int = 500

    def __post_init__(self) -> None:
        _check_positive(self, "linear", ("regularisation", "max_iterations"))
        if not self.speeds or not all(0.1 <= speed <= 10 for speed in self.speeds):
            raise UsageError(
                f"linear.speeds={list(self.speeds)}: expected one or more of 0.1 to 10"
            )


@dataclass(frozen=True)
class LDASettings:
    """How the covariance of the noise is put together, and what cannot be fitted on few corpora."""

    shrinkage: float = 0.7  # towards a multiple of the identity
    disagreement: float = 10.0  # weight of what corpora disagree about a label
    mixture: float = 20.0  # strength of the Dirichlet distribution of an archive's mixture
    conditions: float = 2.0  # least variance of offsets between corpora, where there is only one
    speakers: float = 1.0  # and between speakers, where they are not known

    def __post_init__(self) -> None:
        if not 0 <= self.shrinkage <= 1:
            raise UsageError(f"lda.shrinkage={self.shrinkage:g}: expected a share from 0 to 1")
        _check_not_negative(self, "lda", ("disagreement", "mixture", "conditions", "speakers"))


@dataclass(frozen=True)
class HeadSettings:
    """How far labels move a head: variances of priors, in units of the noise (`fit=head`)."""

    label_variance: float = 0.1  # of a label's mean around that of the head, in each number
    new_label_variance: float = 3.0  # of the mean of a label that the head does not have
    covariance_strength: float = 300.0  # labels that the covariance of the head's noise is worth
    temperature_strength: float = 100.0  # labels that its temperature is worth

    def __post_init__(self) -> None:
        names = ("label_variance", "new_label_variance", "covariance_strength")
        _check_positive(self, "head", (*names, "temperature_strength"))


def _check_choice(settings: object, group: str, name: str, known: tuple[str, ...]) -> None:
    if (value := getattr(settings, name)) not in known:
        raise UsageError(f"{group}.{name}={value}: expected {' or '.join(known)}")


def _check_positive(settings: object, group: str, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(settings, name)
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{group}.{name}={value}: expected more than 0")


def _check_not_negative(settings: object, group: str, names: tuple[str, ...]) -> None:
    for name in names:
        if not 0 <= (value := getattr(settings, name)) < math.inf:
            raise UsageError(f"{group}.{name}={value}: expected 0 or more")

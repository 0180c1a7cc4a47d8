"""Adam and AdamW, and how their learning rates change over a training."""

import math
from typing import Any

import torch
from torch import nn

from batch_ser.errors import UsageError
from train.recipes import Optimisation

OPTIMISERS: dict[str, type[torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adam": torch.optim.Adam,
}


def make_optimiser(network: nn.Module, settings: Optimisation) -> torch.optim.Optimizer:
    """An optimiser of the weights that learn; the pretrained part may have a rate of its own.

    Raises:
        UsageError: nothing in the network learns.
    """
    new: list[torch.nn.Parameter] = []
    pretrained: list[torch.nn.Parameter] = []
    part = getattr(network, "pretrained", None)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            own = part is not None and name.startswith(f"{part}.")
            (pretrained if own else new).append(parameter)
    rate = settings.learning_rate
    groups: list[dict[str, Any]] = [{"params": new, "lr": rate}] if new else []
    if pretrained:
        groups.append({"params": pretrained, "lr": settings.pretrained_rate or rate})
    if not groups:
        raise UsageError(
            "nothing in the network learns: found all its weights frozen, expected settings of the "
            "recipe that leave some"
        )
    kind: type[torch.optim.Optimizer] = OPTIMISERS[settings.optimiser]
    return kind(groups, weight_decay=settings.weight_decay)  # type: ignore[call-arg]


class Schedule:
    """Learning rates: constant, cosine after a warm-up (per step), or halved on a plateau."""

    def __init__(
        self, optimiser: torch.optim.Optimizer, settings: Optimisation, steps: int
    ) -> None:
        """`steps` are those of one epoch."""
        self.per_epoch = settings.schedule == "plateau"
        self._step: Any = None
        self._plateau: Any = None
        if settings.schedule == "cosine":
            total = settings.epochs * steps
            warm = max(1, round(settings.warm_up * total))

            def share(step: int) -> float:
                if step < warm:
                    return (step + 1) / warm
                return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

            self._step = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
        elif self.per_epoch:
            self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimiser,
                mode="max",
                factor=0.5,
                patience=settings.plateau_patience,
                threshold_mode="abs",  # "rel" takes a worse loss for a better one: it is negative
            )

    def step_done(self) -> None:
        """After each batch."""
        if self._step is not None:
            self._step.step()

    def epoch_ended(self, monitored: float) -> None:
        """After each epoch, with the figure that decides; larger is better."""
        if self._plateau is not None:
            self._plateau.step(monitored)

    def state(self) -> dict[str, Any]:
        """What a resumed training needs, as JSON holds it."""
        inner = self._step or self._plateau
        if inner is None:
            return {}
        plain = (int, float, str, bool, list, type(None))
        found = inner.state_dict()
        found.pop("lr_lambdas", None)  # functions, made anew
        return {key: value for key, value in found.items() if isinstance(value, plain)}

    def restore(self, state: dict[str, Any]) -> None:
        inner = self._step or self._plateau
        if inner is not None:
            inner.__dict__.update(
                {key: value for key, value in state.items() if key != "lr_lambdas"}
            )

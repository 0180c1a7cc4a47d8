"""The state of a training between epochs, from which an interrupted one goes on."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from batch_ser.errors import UsageError
from train.fitting.history import Epoch
from train.fitting.optimiser import Schedule

KEY = "batch_ser_training"


@dataclass
class State:
    """Epochs so far, and the best one's weights."""

    history: list[Epoch] = field(default_factory=list)
    epochs: int = 0  # of a distillation, which has no history
    best: dict[str, torch.Tensor] = field(default_factory=dict)


def save_state(
    path: Path,
    state: State,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
) -> None:
    """Write everything that the next epoch depends on, to one file, in one step."""
    found = optimiser.state_dict()
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    for number, values in found["state"].items():
        tensors |= {f"optimiser/{number}/{name}": tensor for name, tensor in values.items()}
    rest: dict[str, Any] = {
        "history": [asdict(epoch) for epoch in state.history],
        "epochs": state.epochs,
        "groups": found["param_groups"],
        "schedule": schedule.state(),
    }
    contiguous = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()
    }
    partial = path.with_name(path.name + ".partial")
    save_file(contiguous, partial, metadata={KEY: json.dumps(rest)})
    partial.replace(path)


def load_state(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, schedule: Schedule
) -> State | None:
    """Load a state into network, optimiser and schedule; None where there is none.

    Raises:
        UsageError: the file is damaged, or belongs to another training.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            rest = json.loads(file.metadata()[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(_below("network/", tensors))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _below("optimiser/", tensors).items():
            number, _, which = name.partition("/")
            moments.setdefault(int(number), {})[which] = tensor
        optimiser.load_state_dict({"state": moments, "param_groups": rest["groups"]})
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"{path}: not the state of this training ({reason}); --restart begins again"
        ) from error
    schedule.restore(rest["schedule"])
    history = [Epoch(**epoch) for epoch in rest["history"]]
    return State(history, rest["epochs"], _below("best/", tensors))


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }

"""Which device a network runs on."""

import math

import torch

from batch_ser.errors import UsageError
from models.onnx_file import ENDING


def usable_device(choice: str, model: str = "", *, elsewhere: bool = False) -> str:
    """The device that `--device` means, for `--model`: cpu or cuda.

    `elsewhere`: for other machines, whose GPUs cannot be looked for from here.

    Raises:
        UsageError: another word, no GPU, or cuda for an ONNX file.
    """
    if choice not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {choice}: expected auto, cpu or cuda")
    if model.endswith(ENDING):
        if choice == "cuda":
            raise UsageError(
                f"--device cuda: found --model {model}, and ONNX files are scored on the CPU; give "
                "--device cpu, or the checkpoint from which it was exported"
            )
        return "cpu"
    if choice == "cuda" and elsewhere:
        return "cuda"
    if choice == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no usable GPU here; give --device cpu")
    return "cuda" if choice != "cpu" and torch.cuda.is_available() else "cpu"


def gpu_share(processes: int) -> float:
    """The largest share of a GPU that each of some processes can have, on this machine's GPUs.

    It is rounded down to 1e-4, the unit of Ray.
    """
    on_each = math.ceil(processes / max(1, torch.cuda.device_count()))
    return math.floor(10_000 / on_each) / 10_000


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware: training is two to three times faster."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))

"""Mixed precision: bfloat16 where the hardware multiplies it, and nowhere else."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from trainings import training

from models.device import has_bfloat16
from train.run import train

CPU = torch.device("cpu")


def first_loss(folder: Path) -> float:
    line = (folder / "history.csv").read_text().splitlines()[1]
    return float(line.split(",")[2])


def test_bfloat16_is_the_processor_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, expected in (("avx512_bf16", True), ("amx_bf16", True), ("avx512_f", False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda only=capability: {only: True})
        assert has_bfloat16(CPU) is expected


@pytest.mark.exhaustive
def test_mixed_precision_learns_what_float32_learns(tree: Path, tmp_path: Path) -> None:
    for precision in ("float32", "mixed"):
        train(training(tree, tmp_path / precision, "mfcc-cnn", f"precision={precision}"))
    mixed, exact = (first_loss(tmp_path / name) for name in ("mixed", "float32"))
    assert mixed == pytest.approx(exact, rel=0.02)
    assert (mixed != exact) is has_bfloat16(CPU)  # and it is not float32 under another name


@pytest.mark.slow
def test_half_rounds_every_weight(tree: Path, tmp_path: Path) -> None:
    train(training(tree, tmp_path / "run", "mfcc-cnn", "float16=true"))
    with safe_open(tmp_path / "run" / "checkpoint.safetensors", "pt") as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {weights[name].dtype for name in weights if "weight" in name} == {torch.float16}

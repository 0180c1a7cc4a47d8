"""Checkpoints that cannot be trusted: refused with a sentence, before memory is allocated."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import LABELS, Runner
from hostile_checkpoints import attempts, metadata_of, rewrite
from networks import small_checkpoint
from safetensors.torch import load_file, save_file

from batch_ser.errors import CheckpointError
from models import load_checkpoint
from models.checkpoint import KEY

NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    names = ("whisper", "whisper, offset", "tdnn", "acnt", "ast", "hf")
    return {name: small_checkpoint(folder / f"{name}.safetensors", name, LABELS) for name in names}


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
@pytest.mark.parametrize("name", ["head.weight", "encoder.conv1.bias", "shift"])
def test_weights_that_are_not_finite(
    bases: dict[str, Path], tmp_path: Path, name: str, value: float
) -> None:
    base = bases["whisper"]
    tensor = load_file(base)[name].clone()
    tensor.view(-1)[-1] = value
    path = rewrite(base, tmp_path / "c.safetensors", metadata_of(base), **{name: tensor})
    with pytest.raises(CheckpointError, match=f"{name} hold NaN or infinite.*expected finite"):
        load_checkpoint(path)


def test_weights_with_which_scores_are_not_finite(bases: dict[str, Path], tmp_path: Path) -> None:
    base = bases["whisper"]
    tensors = {"head.weight": torch.full((4, 128), 3e38), "scale": torch.full((128,), 3e38)}
    path = rewrite(base, tmp_path / "c.safetensors", metadata_of(base), **tensors)
    with pytest.raises(CheckpointError, match="its scores are not finite"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", ["conditions", "speakers", "mixture", "short_s"])
def test_variances_below_zero(bases: dict[str, Path], tmp_path: Path, name: str) -> None:
    base = bases["whisper, offset"]
    tensors = {f"head.{name}": torch.tensor(-1.0)}
    path = rewrite(base, tmp_path / "c.safetensors", metadata_of(base), **tensors)
    with pytest.raises(CheckpointError, match=f"head.{name} is -1, expected 0 or more"):
        load_checkpoint(path)


@pytest.mark.parametrize("temperature", [0, -1.0, NAN, INFINITE, 1e-300, "warm", None, True, [1]])
def test_temperatures_that_give_no_probabilities(
    bases: dict[str, Path], tmp_path: Path, temperature: object
) -> None:
    base = bases["whisper"]
    metadata = metadata_of(base) | {"temperature": temperature}
    path = rewrite(base, tmp_path / "c.safetensors", metadata)
    with pytest.raises(CheckpointError, match=r"temperature.*expected"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "field", "value", "message"),
    [
        ("tdnn", "name", 3, "name: found 3, expected str"),
        ("tdnn", "name", "\ud800", "expected str"),
        ("tdnn", "labels", "four", "labels: found 'four'"),
        ("tdnn", "labels", [1, 2, 3, 4], "labels: found"),
        ("tdnn", "labels", ["a", "b", "c", "line\n"], "printable"),
        ("tdnn", "labels", [str(n) for n in range(900)], "at most 100"),
        ("tdnn", "settings", [], "damaged"),
        ("tdnn", "settings.channels", "16", "channels: found '16', expected int"),
        ("tdnn", "settings.channels", 10**7, "channels: found 10000000"),
        ("tdnn", "settings.channels", 10**400, "numbers of at most 1,000,000"),
        ("tdnn", "settings.channels", 32, r"do not fit tdnn.*found \(16,\), expected \(32,\)"),
        ("tdnn", "settings.dilations", [1] * 10_000, "lists of at most 1,000 entries"),
        ("tdnn", "rate_hz", 8_000, "found whisper_log_mel at 8000 Hz, expected .* 16000 Hz"),
        ("tdnn", "max_input_s", 1e6, "max_input_s: found 1e.06, expected at most 30"),
        ("tdnn", "max_input_s", NAN, "max_input_s: found nan"),
        ("tdnn", "front_end", "mfcc", "expected whisper_log_mel"),
        ("tdnn", "front_end_settings", {"level": "loud"}, "level: found 'loud'"),
        ("tdnn", "front_end_settings", {"level": 1e4}, "level: found 10000.0, expected -100"),
        ("tdnn", "natural", {"offset": 2}, "natural: offset 2, expected 0 to 1"),
        ("tdnn", "natural", {"wind": 0.5}, "natural: wind"),
        ("tdnn", "segment", {"max_s": 1e300}, "segment.max_s: found 1e.300"),
        ("tdnn", "segment", {"method": "given"}, "the method given"),
        ("tdnn", "segment", {"steps": 2}, "damaged"),
        ("tdnn", "corpora", [{}], "one without a name"),
        ("tdnn", "corpora", [7], "corpora: found"),
        ("whisper", "settings.layers", 10**6, "layers: found 1000000, expected at most 200"),
        ("acnt", "settings.pe_max_len", 10**6, "128,000,000 numbers would be computed"),
        ("acnt", "front_end_settings.length_s", 10**5, "length_s: expected at most 4.02"),
        ("ast", "front_end_settings.frames", 10**6, "frames: found 1000000, expected 1 to 6,000"),
        ("hf", "settings.config.num_hidden_layers", 10**5, "layers: found 100000"),
        ("hf", "settings.config.hidden_size", 10**9, "hidden_size: found 1000000000"),
        ("hf", "settings.config.conv_dim", [16] * 2_000, "found 2,000 entries"),
    ],
)
def test_metadata_of_wrong_types_and_absurd_sizes(
    bases: dict[str, Path], tmp_path: Path, name: str, field: str, value: object, message: str
) -> None:
    metadata: Any = metadata_of(bases[name])
    *above, key = field.split(".")
    parent = metadata
    for each in above:
        parent = parent[each]
    parent[key] = value
    path = rewrite(bases[name], tmp_path / "c.safetensors", metadata)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_checkpoint(path)
    assert str(refused.value).startswith(str(path))
    assert len(str(refused.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    "text", ["", "7", "[]", "{", "{}", "[" * 100_000, '{"settings": 1}', " " * 2_000_000]
)
def test_metadata_that_is_no_object(bases: dict[str, Path], tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.safetensors"
    save_file(load_file(bases["tdnn"]), path, metadata={KEY: text})
    with pytest.raises(CheckpointError, match="metadata"):
        load_checkpoint(path)


def test_absurd_sizes_allocate_nothing(
    bases: dict[str, Path], tmp_path: Path, calls: Path, batch_ser: Runner
) -> None:
    """In processes that may have 1 GB more and 5 s of a core; a good one is scored."""
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    metadata = metadata_of(bases["tdnn"])
    sizes = ({}, {"predicted": 10**7}, {"predicted": 10**6}, {"channels": 10**5})
    for number, sizes_of in enumerate(sizes):
        settings = metadata["settings"] | sizes_of
        path = folder / f"{number}.safetensors"
        rewrite(bases["tdnn"], path, metadata | {"settings": settings})
    good, *absurd = attempts(folder, calls / "support-ulaw.wav")
    assert (good.status, good.errors) == (0, "")
    for each in absurd:
        assert each.status == 2, each
        assert each.orderly, each
        assert each.errors.count("\n") == 1
        assert each.grown_bytes < 100_000_000
    done = batch_ser(
        *("run", "--input", calls, "--out", "out.parquet", "--engine", "inline"),
        *("--model", folder / "1.safetensors"),
    )
    assert done.returncode == 2
    assert "predicted: found 10000000" in done.stderr
    assert not done.stdout

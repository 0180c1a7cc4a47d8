"""An exported checkpoint scores as the checkpoint does, from samples to probabilities."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LABELS, REPOSITORY, MakeOnce, Runner, cuts
from typer.testing import CliRunner

from batch_ser.audio.samples import Samples
from batch_ser.features import whisper_log_mel
from jobs.cli import app
from models import load_checkpoint
from models.loading import SHIPPED, load_network, shipped_checkpoints
from models.onnx_export import padded
from models.onnx_graph import LogMelGraph, ScoringGraph

Session = Callable[..., Any]
Export = Callable[..., Path]


@pytest.fixture(scope="session")
def export(make_once: MakeOnce) -> Export:
    """The file of a checkpoint that the command exported, made once."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package, reason="no onnx here: pip install 'batch-ser[onnx]'")

    def export(model: str, **options: Any) -> Path:
        name = "-".join(["onnx", Path(model).stem, *options])

        def make(folder: Path) -> None:
            flags = [f"--{option}" for option in options]
            command = ["export", "--model", model, "--out", str(folder / "model.onnx"), *flags]
            done = CliRunner().invoke(app, command, catch_exceptions=False)
            (folder / "stdout.txt").write_text(done.stdout)
            assert done.exit_code == 0, done.stderr

        return make_once(name, make) / "model.onnx"

    return export


def session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("level", [None, -4.3])
def test_the_log_mel_of_a_batch_is_that_of_its_segments(
    speech: Samples, level: float | None
) -> None:
    segments = [*cuts(speech), speech[:0], speech[:400], np.zeros(900, np.float32)]
    expected = whisper_log_mel(segments, torch.device("cpu"), level=level)
    inputs = padded(segments)
    inputs["samples"][1, inputs["lengths"][1] :] = 1.0  # what is beyond a segment's own end
    found = LogMelGraph(level)(*map(torch.from_numpy, inputs.values()))
    assert torch.equal(found.frames, expected.frames)
    assert float((found.values - expected.values).abs().max()) < 1e-4


def test_a_single_segment_shorter_than_a_frame_has_its_log_mel(speech: Samples) -> None:
    expected = whisper_log_mel([speech[:100]], torch.device("cpu"))
    found = LogMelGraph(None)(*map(torch.from_numpy, padded([speech[:100]]).values()))
    assert found.values.shape == expected.values.shape
    assert float((found.values - expected.values).abs().max()) < 1e-4


@pytest.mark.parametrize("expect", ["natural", "angry=0.3,neutral=0.7"])
@pytest.mark.parametrize("name", shipped_checkpoints())
def test_the_graph_scores_as_the_checkpoint(name: str, expect: str, speech: Samples) -> None:
    checkpoint = load_checkpoint(name)
    info, network = load_network(SHIPPED / f"{name}.safetensors")
    prior = torch.from_numpy(checkpoint.expectation(expect).prior)
    level = info.front_end_settings["level"]
    graph = ScoringGraph(network, level, info.temperature, prior).eval()
    with torch.inference_mode():
        found = graph(*map(torch.from_numpy, padded(cuts(speech)).values()))
    expected = checkpoint.score_all(cuts(speech), expect=expect)
    assert np.abs(found.probabilities.numpy() - expected).max() < 1e-4
    assert np.abs(found.embeddings.numpy() - checkpoint.embed_all(cuts(speech))).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_checkpoints())
def test_a_shipped_checkpoint_has_the_same_probabilities_in_onnx(
    name: str, export: Export, speech: Samples
) -> None:
    """Of real speech from 0.02 to 30 s: as one batch, and alone."""
    segments = [*cuts(speech), np.concatenate([speech, speech])[: 30 * 16_000]]
    expected = load_checkpoint(name).score_all(segments)
    exported = session(export(name))
    (together,) = exported.run(["probabilities"], padded(segments))
    alone = [exported.run(["probabilities"], padded([one]))[0][0] for one in segments]
    assert np.abs(together - expected).max() < 1e-4
    assert np.abs(np.array(alone) - expected).max() < 1e-4


@pytest.mark.slow
def test_int8_is_half_as_large_and_nearly_the_same(export: Export, speech: Samples) -> None:
    expected = load_checkpoint("accurate").score_all(cuts(speech))
    path = export("accurate", int8=True)
    (found,) = session(path).run(["probabilities"], padded(cuts(speech)))
    assert 1e-4 < np.abs(found - expected).max() < 0.05
    assert path.stat().st_size < 0.6 * export("accurate").stat().st_size


def test_the_file_states_what_it_is_and_nothing_of_this_machine(
    export: Export, checkpoint_path: Path
) -> None:
    path = export(str(checkpoint_path))
    exported = session(path)
    stated = exported.get_modelmeta().custom_metadata_map
    assert json.loads(stated["labels"]) == list(LABELS)
    assert stated["rate_hz"] == "16000"
    assert stated["checkpoint_sha256"] == load_checkpoint(checkpoint_path).digest
    assert stated["scores"] == "logits"
    shapes = {each.name: each.shape for each in exported.get_inputs()}
    assert shapes == {"samples": ["batch", "time"], "lengths": ["batch"]}
    for text in (str(REPOSITORY), str(checkpoint_path.parent), ".py"):
        assert text.encode() not in path.read_bytes()


def test_a_linear_head_is_exported_too(
    export: Export, checkpoint_path: Path, speech: Samples
) -> None:
    expected = load_checkpoint(checkpoint_path).score_all(cuts(speech))
    (found,) = session(export(str(checkpoint_path))).run(["probabilities"], padded(cuts(speech)))
    assert np.abs(found - expected).max() < 1e-4


def test_the_command_says_how_close_it_is_and_leaves_nothing_else(
    export: Export, checkpoint_path: Path
) -> None:
    folder = export(str(checkpoint_path)).parent
    assert "MB, probabilities within" in (folder / "stdout.txt").read_text()
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "stdout.txt"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "a.pt"), "expected NAME.onnx in a folder that exists"),
        (("--out", "nowhere/a.onnx"), "expected NAME.onnx in a folder that exists"),
        (("--out", "a.onnx", "--to", "tflite"), "--to tflite: expected onnx"),
        (("--out", "a.onnx", "--model", "small"), "--model small: expected accurate, fast"),
    ],
)
def test_mistakes(batch_ser: Runner, options: tuple[str, ...], message: str) -> None:
    if "small" in options:
        pytest.importorskip("onnx", reason="no onnx here: pip install 'batch-ser[onnx]'")
    done = batch_ser("export", *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_another_front_end_is_refused(
    export: Export, batch_ser: Runner, ast_directory: Path, tmp_path: Path
) -> None:
    assert export
    done = batch_ser("export", "--model", f"hf:{ast_directory}", "--out", "a.onnx")
    assert done.returncode == 2
    assert "found the front end hugging_face, expected a checkpoint over" in done.stderr
    assert not list(tmp_path.iterdir())


def test_without_the_packages_the_message_names_the_extra(
    batch_ser: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = batch_ser("export", "--out", "a.onnx")
    assert done.returncode == 2
    assert "pip install 'batch-ser[onnx]'" in done.stderr

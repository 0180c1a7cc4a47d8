"""An exported checkpoint scores as the checkpoint does, from samples to probabilities."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LABELS, REPOSITORY, Export, MakeOnce, Runner, cuts, graph_inputs
from networks import small_checkpoint

from batch_ser.audio.samples import Samples
from batch_ser.features import whisper_log_mel
from models import load_checkpoint
from models.loading import SHIPPED, load_network, shipped_checkpoints
from models.onnx_graph import LogMelGraph, ScoringGraph
from models.onnx_runtime import open_session


@pytest.fixture(scope="module")
def linear_path(make_once: MakeOnce) -> Path:
    """A small checkpoint of the architecture of `fast`, with a linear head and an activation."""

    def make(folder: Path) -> None:
        small_checkpoint(folder / "linear.safetensors", "tdnn", LABELS)

    return make_once("linear", make) / "linear.safetensors"


@pytest.mark.parametrize("level", [None, -4.3])
def test_the_log_mel_of_a_batch_is_that_of_its_segments(
    speech: Samples, level: float | None
) -> None:
    segments = [*cuts(speech), speech[:0], speech[:400], np.zeros(900, np.float32)]
    expected = whisper_log_mel(segments, torch.device("cpu"), level=level)
    inputs = graph_inputs(segments)
    inputs["samples"][1, inputs["lengths"][1] :] = 1.0  # what is beyond a segment's own end
    found = LogMelGraph(level)(*map(torch.from_numpy, inputs.values()))
    assert torch.equal(found.frames, expected.frames)
    assert float((found.values - expected.values).abs().max()) < 1e-4


def test_a_single_segment_shorter_than_a_frame_has_its_log_mel(speech: Samples) -> None:
    expected = whisper_log_mel([speech[:100]], torch.device("cpu"))
    found = LogMelGraph(None)(*map(torch.from_numpy, graph_inputs([speech[:100]]).values()))
    assert found.values.shape == expected.values.shape
    assert float((found.values - expected.values).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("name", "expect"),
    [
        ("accurate", "natural"),
        ("fast", "angry=0.3,neutral=0.7"),
        pytest.param("accurate", "angry=0.3,neutral=0.7", marks=pytest.mark.exhaustive),
        pytest.param("fast", "natural", marks=pytest.mark.exhaustive),
    ],
)
def test_the_graph_scores_as_the_checkpoint(name: str, expect: str, speech: Samples) -> None:
    checkpoint = load_checkpoint(name)
    info, network = load_network(SHIPPED / f"{name}.safetensors")
    prior = torch.from_numpy(checkpoint.expectation(expect).prior)
    level = info.front_end_settings["level"]
    graph = ScoringGraph(network, level, info.temperature, prior).eval()
    with torch.inference_mode():
        found = graph(*map(torch.from_numpy, graph_inputs(cuts(speech)).values()))
    expected = checkpoint.score_all(cuts(speech), expect=expect)
    assert np.abs(found.probabilities.numpy() - expected).max() < 1e-4
    assert np.abs(found.embeddings.numpy() - checkpoint.embed_all(cuts(speech))).max() < 1e-3


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", shipped_checkpoints())
def test_a_shipped_checkpoint_has_the_same_probabilities_in_onnx(
    name: str, export: Export, speech: Samples
) -> None:
    """Of real speech from 0.02 to 30 s: as one batch, and alone."""
    segments = [*cuts(speech), np.concatenate([speech, speech])[: 30 * 16_000]]
    expected = load_checkpoint(name).score_all(segments)
    exported = open_session(export(name).read_bytes(), name)
    (together,) = exported.run(["probabilities"], graph_inputs(cuts(speech)))
    alone = [exported.run(["probabilities"], graph_inputs([one]))[0][0] for one in segments]
    assert np.abs(together - expected[: len(together)]).max() < 1e-4
    assert np.abs(np.array(alone) - expected).max() < 1e-4


@pytest.mark.slow
@pytest.mark.exhaustive
def test_int8_is_half_as_large_and_nearly_the_same(export: Export, speech: Samples) -> None:
    expected = load_checkpoint("accurate").score_all(cuts(speech))
    path = export("accurate", int8=True)
    (found,) = open_session(path.read_bytes(), path.name).run(
        ["probabilities"], graph_inputs(cuts(speech))
    )
    assert 1e-4 < np.abs(found - expected).max() < 0.05
    assert path.stat().st_size < 0.6 * export("accurate").stat().st_size


def test_the_file_states_what_it_is_and_nothing_of_this_machine(
    export: Export, linear_path: Path
) -> None:
    path = export(str(linear_path))
    exported = open_session(path.read_bytes(), path.name)
    stated = exported.get_modelmeta().custom_metadata_map
    assert json.loads(stated["labels"]) == list(LABELS)
    assert stated["rate_hz"] == "16000"
    assert stated["checkpoint_sha256"] == load_checkpoint(linear_path).digest
    assert stated["scores"] == "logits"
    shapes = {each.name: each.shape for each in exported.get_inputs()}
    assert shapes == {"samples": ["batch", "time"], "lengths": ["batch"]}
    for text in (str(REPOSITORY), str(linear_path.parent), ".py"):
        assert text.encode() not in path.read_bytes()


def test_a_linear_head_is_exported_too(export: Export, linear_path: Path, speech: Samples) -> None:
    """Its activation is in the graph, and, where the file is a checkpoint, that of the head."""
    of, path = load_checkpoint(linear_path), export(str(linear_path))
    expected = of.score_all(cuts(speech))
    inputs = graph_inputs(cuts(speech))
    (found,) = open_session(path.read_bytes(), "linear").run(["probabilities"], inputs)
    assert np.abs(found - expected).max() < 1e-4
    checkpoint = load_checkpoint(path)
    assert not checkpoint.has_offset
    assert np.abs(checkpoint.score_all(cuts(speech)) - expected).max() < 1e-4
    features = [each.features(cuts(speech)) for each in (of, checkpoint)]
    expected_outputs = of.score_features(features[0], embed=True)
    outputs = checkpoint.score_features(features[1], embed=True)
    for one, other in zip(expected_outputs, outputs, strict=True):
        assert np.abs(one - other).max() < 1e-3


def test_the_command_says_how_close_it_is_and_leaves_nothing_else(
    export: Export, linear_path: Path
) -> None:
    folder = export(str(linear_path)).parent
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

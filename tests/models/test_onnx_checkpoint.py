"""An exported file is a checkpoint: `--model` takes it, with the scores of the exported one."""

import base64
import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import LABELS, REPOSITORY, Export, Runner, cuts
from networks import small_checkpoint
from results import assert_holds, assert_same_tables, score
from safetensors.torch import load, save

from batch_ser.audio.samples import Samples
from batch_ser.errors import CheckpointError, MismatchError
from jobs.adapt import adapt_again
from models import load_checkpoint, onnx_export
from models.checkpoint import KEY
from models.onnx_file import HEAD, PRECISION
from models.onnx_graph import ScoringGraph

CLOSE = 1e-4  # of probabilities in float32
CLOSE_INT8 = 0.02  # of the small checkpoint's
Change = Callable[[Any], None]


@pytest.fixture(scope="module")
def offset_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with an offset head."""
    path = tmp_path_factory.mktemp("of_onnx") / "offset.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


@pytest.fixture(scope="module")
def files(
    export: Export, offset_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """It in float32 and in int8, of one trace of its graph, which takes seconds."""
    assert export, "which skips without the packages"
    folder, traced, traces = tmp_path_factory.mktemp("onnx"), onnx_export._traced, []

    def once(graph: ScoringGraph) -> Any:
        if not traces:
            traces.append(traced(graph))
        return copy.deepcopy(traces[0])

    paths = {name: folder / f"{name}.onnx" for name in ("float32", "int8")}
    with mock.patch.object(onnx_export, "_traced", once):
        for name, path in paths.items():
            onnx_export.export_onnx(str(offset_path), path, int8=name == "int8")
    return paths


@pytest.fixture(scope="module")
def exported(files: dict[str, Path]) -> Path:
    return files["float32"]


@pytest.fixture(scope="module")
def in_int8(files: dict[str, Path]) -> Path:
    return files["int8"]


def changed(path: Path, to: Path, change: Change) -> Path:
    """A copy of an ONNX file with something else in its messages."""
    import onnx

    model = onnx.load(path)
    change(model)
    to.write_bytes(model.SerializeToString())
    return to


def with_metadata(**values: str | None) -> Change:
    """A change of metadata; None removes it."""

    def change(model: Any) -> None:
        for entry in list(model.metadata_props):
            if entry.key in values:
                model.metadata_props.remove(entry)
        for key, value in values.items():
            if value is not None:
                model.metadata_props.add(key=key, value=value)

    return change


def with_node(operator: str, inputs: tuple[Any, ...] = (), **options: Any) -> Change:
    """A change that adds a node to the embeddings' way, so that no optimiser removes it."""

    def change(model: Any) -> None:
        from onnx import helper, numpy_helper

        graph = model.graph
        for number, value in enumerate(inputs):
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"in{number}"))
        names = [f"in{number}" for number in range(len(inputs))]
        graph.node.insert(0, helper.make_node(operator, names, ["made"], **options))
        graph.node.insert(1, helper.make_node("Cast", ["made"], ["made_float"], to=1))
        graph.node.insert(2, helper.make_node("ReduceMax", ["made_float"], ["most"], keepdims=0))
        for node in graph.node:
            node.output[:] = ["before" if each == "embeddings" else each for each in node.output]
            node.input[:] = ["before" if each == "embeddings" else each for each in node.input]
        graph.node.append(helper.make_node("Add", ["before", "most"], ["embeddings"]))

    return change


def test_it_has_what_the_checkpoint_has(exported: Path, in_int8: Path, offset_path: Path) -> None:
    of = load_checkpoint(offset_path)
    for path, precision in ((exported, "float32"), (in_int8, "int8")):
        found = load_checkpoint(path)
        assert found.info == of.info
        assert found.has_offset
        assert found.embedding_width == of.embedding_width
        assert torch.equal(found.head.means, of.head.means)
        assert found.runtime == f"onnxruntime {precision}"
        assert len({of.digest, found.digest}) == 2
    assert in_int8.stat().st_size < exported.stat().st_size


@pytest.mark.parametrize("expect", [None, "angry=0.3,neutral=0.7"])
def test_scores_are_those_of_the_checkpoint(
    exported: Path, in_int8: Path, offset_path: Path, speech: Samples, expect: str | None
) -> None:
    segments = [*cuts(speech), np.concatenate([speech, speech])[: 45 * 16_000]]  # and in pieces
    of = load_checkpoint(offset_path).score_all(segments, expect=expect)
    assert np.abs(load_checkpoint(exported).score_all(segments, expect=expect) - of).max() < CLOSE
    int8 = np.abs(load_checkpoint(in_int8).score_all(segments, expect=expect) - of).max()
    assert CLOSE < int8 < CLOSE_INT8


def test_scores_do_not_depend_on_the_batch(exported: Path, in_int8: Path, speech: Samples) -> None:
    loud = np.clip(30 * speech[:64_000], -1, 1)  # which would change the scales of int8
    for path in (exported, in_int8):
        checkpoint = load_checkpoint(path)
        together = checkpoint.embed_all([*cuts(speech), speech[:0], loud])
        alone = [checkpoint.embed_all([one])[0] for one in (*cuts(speech), speech[:0], loud)]
        assert np.array_equal(together, np.array(alone))


def test_a_run_has_the_tables_of_the_checkpoint(
    exported: Path, offset_path: Path, calls: Path, tmp_path: Path
) -> None:
    """And so has its adaptation; another runtime on the same output is refused."""
    outs = {path: tmp_path / f"{path.suffix[1:]}.parquet" for path in (exported, offset_path)}
    for path, out in outs.items():
        score(calls, out, path)
        assert_holds(out)
    assert_same_tables(*outs.values())
    record = json.loads(outs[exported].with_suffix(".run.json").read_text())
    assert record["fingerprint"]["runtime"] == "onnxruntime float32 cpu"
    assert record["checkpoint"]["sha256"] == load_checkpoint(exported).digest
    for out in outs.values():
        adapt_again(str(out), by="recording", expect="balanced")
        assert_holds(out)
    assert_same_tables(*outs.values())
    with pytest.raises(MismatchError, match=r"runtime was onnx.* cpu, is torch float32 cpu"):
        score(calls, outs[exported], offset_path, adapt="recording", expect="balanced")


def test_int8_is_another_runtime(
    exported: Path, in_int8: Path, archive: Path, tmp_path: Path
) -> None:
    out, limits = tmp_path / "out.parquet", {"limit": 2, "adapt": "none"}
    score(archive, out, in_int8, **limits)
    with pytest.raises(MismatchError, match="was onnxruntime int8 cpu, is onnxruntime float32 cpu"):
        score(archive, out, exported, **limits)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "options", "limit"),
    [("fast", {}, CLOSE), ("accurate", {}, CLOSE), ("accurate", {"int8": True}, 0.05)],
)
def test_the_shipped_checkpoints_score_the_example_calls(
    name: str, options: dict[str, bool], limit: float, export: Export, calls: Path, tmp_path: Path
) -> None:
    import pandas as pd

    found = []
    for model in (name, str(export(name, **options))):
        out = tmp_path / f"{len(found)}.parquet"
        score(calls, out, Path(model), expect="balanced")
        found.append(pd.read_parquet(out).filter(like="p_").to_numpy())
    assert len(found[0]) > 10
    assert np.abs(found[0] - found[1]).max() < limit


def test_commands_take_it(batch_ser: Runner, exported: Path, offset_path: Path) -> None:
    recording = REPOSITORY / "examples" / "calls" / "support-ulaw.wav"
    found = []
    for model in (exported, offset_path):
        done = batch_ser("predict", "--device", "auto", "--model", model, recording)
        assert done.returncode == 0, done.stderr
        found.append(list(json.loads(done.stdout)["all_emotions"].values()))
    assert np.abs(np.subtract(*found)).max() < CLOSE


@pytest.mark.parametrize(
    "command",
    [("predict", "a.wav"), ("run", "--input", ".", "--out", "out.parquet", "--engine", "inline")],
)
def test_a_gpu_is_refused(batch_ser: Runner, command: tuple[str, ...]) -> None:
    done = batch_ser(*command, "--model", "a.onnx", "--device", "cuda")
    assert done.returncode == 2
    assert "ONNX files are scored on the CPU; give --device cpu" in done.stderr


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_its_packages_the_message_names_the_extra(
    exported: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CheckpointError, match=rf"needs the package {package}: pip.*ser\[onnx\]"):
        load_checkpoint(exported)


def test_scoring_leaves_nothing_in_the_home_folder(exported: Path, tmp_path: Path) -> None:
    """Without a variable of the environment, onnxruntime keeps an identifier there."""
    program = """
import sys
from models import load_checkpoint
print(load_checkpoint(sys.argv[1]).runtime)
"""
    command = [sys.executable, "-c", program, str(exported)]
    hidden = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "ORT_DISABLE_TELEMETRY")
    rest = {key: value for key, value in os.environ.items() if key not in hidden}
    rest |= {"HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=rest, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "onnxruntime float32\n"
    assert not list(tmp_path.iterdir())


def test_files_of_other_programs_and_earlier_versions(exported: Path, tmp_path: Path) -> None:
    other, earlier = tmp_path / "other.onnx", tmp_path / "earlier.onnx"
    changed(exported, other, lambda model: model.ClearField("metadata_props"))
    changed(exported, earlier, with_metadata(**{KEY: None, HEAD: None, PRECISION: None}))
    text = tmp_path / "text.onnx"
    text.write_text("a model, surely")
    (tmp_path / "empty.onnx").write_bytes(b"")
    for path, message in (
        (other, "without batch-ser's metadata; expected one that `batch-ser export` wrote"),
        (earlier, "an export of an earlier version.*export .* again by `batch-ser export`"),
        (text, "not an ONNX file, or a damaged one"),
        (tmp_path / "empty.onnx", "without batch-ser's metadata"),
        (tmp_path / "none.onnx", "there is no such file"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)


def head_of(path: Path, **tensors: torch.Tensor) -> str:
    """The head of a file with other tensors, as its metadata has it."""
    import onnx

    stored = {each.key: each.value for each in onnx.load(path).metadata_props}
    return base64.b64encode(save(load(base64.b64decode(stored[HEAD])) | tensors)).decode()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (PRECISION, "int4", "precision 'int4': expected float32 or int8"),
        (PRECISION, None, "precision '': expected float32 or int8"),
        (KEY, "{", "its metadata is damaged"),
        pytest.param(KEY, " " * 2_000_000, "expected at most 1,000,000", id="long"),
        (HEAD, None, "batch_ser_head is damaged"),
        (HEAD, "no base64", "batch_ser_head is damaged"),
        (HEAD, base64.b64encode(b"\xff" * 64).decode(), "batch_ser_head is damaged"),
    ],
)
def test_metadata_that_is_damaged(
    exported: Path, tmp_path: Path, key: str, value: str | None, message: str
) -> None:
    path = changed(exported, tmp_path / "c.onnx", with_metadata(**{key: value}))
    with pytest.raises(CheckpointError, match=message) as refused:
        load_checkpoint(path)
    assert str(refused.value).startswith(str(path))
    assert len(str(refused.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("labels", ["a", "b"], r"do not fit whisper.*head.means: found \(4, 3\), expected \(2, 1"),
        ("labels", "four", "labels: found 'four'"),
        ("front_end", "mfcc", "front end mfcc: expected whisper_log_mel in an ONNX file"),
        ("max_input_s", 1e5, "max_input_s: found 100000, expected at most 30"),
        ("rate_hz", 8_000, "found whisper_log_mel at 8000 Hz"),
    ],
)
def test_metadata_of_another_network(
    exported: Path, tmp_path: Path, field: str, value: object, message: str
) -> None:
    import onnx

    stored = {each.key: each.value for each in onnx.load(exported).metadata_props}
    text = json.dumps(json.loads(stored[KEY]) | {field: value})
    path = changed(exported, tmp_path / "c.onnx", with_metadata(**{KEY: text}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"means": torch.full((4, 3), float("nan"))}, "head.means hold NaN or infinite"),
        ({"means": torch.ones(4, 4)}, r"head.means: found \(4, 4\), expected \(4, 3\)"),
        ({"further": torch.ones(1)}, r"head.further: found \(1,\), expected none"),
        ({"short_s": torch.tensor(-1.0)}, "head.short_s is -1, expected 0 or more"),
    ],
)
def test_heads_that_do_not_fit(
    exported: Path, tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    head = head_of(exported, **tensors)
    path = changed(exported, tmp_path / "c.onnx", with_metadata(**{HEAD: head}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def in_another_file(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")


def said_to_be_elsewhere(model: Any) -> None:
    model.graph.initializer[0].data_location = 1


def constant_in_another_file(model: Any) -> None:
    attribute = model.graph.node.add(op_type="Constant", output=["c"]).attribute.add(name="value")
    attribute.t.external_data.add(key="location", value="weights")


def with_a_loop(model: Any) -> None:
    node = model.graph.node.add(op_type="Identity", output=["c"])
    node.attribute.add(name="body").g.node.add(op_type="Add")


def with_functions(model: Any) -> None:
    model.functions.add(name="f", domain="here")


def with_training(model: Any) -> None:
    model.training_info.add()


def with_sparse_tensors(model: Any) -> None:
    model.graph.sparse_initializer.add()


def with_option(option: str) -> Change:
    """A change that adds an operator with a message, or a list of them, as an attribute."""

    def change(model: Any) -> None:
        node = model.graph.node.add(op_type="Identity", output=["c"])
        value = getattr(node.attribute.add(name="value"), option)
        value.add() if hasattr(value, "add") else value.SetInParent()

    return change


def with_tensors(model: Any) -> None:
    """As many as onnxruntime takes minutes to drop."""
    for number in range(200_000):
        model.graph.initializer.add(name=str(number), data_type=1, dims=[1], raw_data=bytes(4))


def with_attributes(model: Any) -> None:
    for _ in range(20_000):
        model.graph.node[0].attribute.add()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_another_file, "found tensors in other files, expected none"),
        (said_to_be_elsewhere, "found tensors in other files"),
        (constant_in_another_file, "found tensors in other files"),
        (with_a_loop, "found graphs within operators"),
        (with_functions, "found functions"),
        (with_training, "found training information"),
        (with_sparse_tensors, "found sparse tensors"),
        (with_option("g"), "found graphs within operators"),
        (with_option("graphs"), "found graphs within operators"),
        (with_option("sparse_tensor"), "found sparse tensors"),
        (with_option("sparse_tensors"), "found sparse tensors"),
        (with_option("tensors"), "found lists of tensors"),
        (with_tensors, "found 200,.* nodes, attributes and tensors, expected at most 10,000"),
        (with_attributes, "found 20,.* nodes, attributes and tensors"),
        (with_node("Loop"), "found the operator 'Loop', expected those of `batch-ser export`"),
        (with_node("RandomNormal", shape=[1]), "found the operator 'RandomNormal'"),
        (with_node("Abs", (1.0,), domain="mine"), "found an operator of 'mine'"),
        (with_node("Range", (0, 300_000_000, 1)), "cannot score a segment"),  # 2.4 GB
        (with_node("Abs", (np.float32("nan"),)), "its scores are not finite"),
        (with_node("Reshape", (1.0, np.array([2, 2]))), "onnxruntime refuses it|cannot score"),
    ],
)
def test_graphs_that_are_refused(
    exported: Path, tmp_path: Path, change: Change, message: str
) -> None:
    path = changed(exported, tmp_path / "c.onnx", change)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_checkpoint(path)
    assert str(path) in str(refused.value)


def test_a_graph_of_another_width(exported: Path, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        for node in model.graph.node:
            node.output[:] = ["before" if each == "embeddings" else each for each in node.output]
            node.input[:] = ["before" if each == "embeddings" else each for each in node.input]
        model.graph.node.add(op_type="Transpose", input=["before"], output=["embeddings"])
        model.graph.output[0].type.tensor_type.ClearField("shape")

    path = changed(exported, tmp_path / "c.onnx", change)
    with pytest.raises(CheckpointError, match=r"embeddings of shape \(16, 1\), expected \(1, 16\)"):
        load_checkpoint(path)


def test_a_name_that_is_no_text(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """onnxruntime's own wrapper would print to standard output, where JSON is expected."""
    import onnx

    name = onnx.load(exported).graph.initializer[0].name.encode()  # first, as an input of a node
    path = tmp_path / "c.onnx"
    path.write_bytes(exported.read_bytes().replace(name, b"\xff" * len(name), 1))
    with pytest.raises(CheckpointError, match="onnxruntime refuses it"):
        load_checkpoint(path)
    printed = capsys.readouterr()
    assert not printed.out
    assert not printed.err


def test_a_file_that_ends_too_early(exported: Path, tmp_path: Path) -> None:
    content, path = exported.read_bytes(), tmp_path / "c.onnx"
    for length in np.linspace(1, len(content) - 1, 40).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"damaged|without batch-ser's metadata"):
            load_checkpoint(path)


def test_text_that_is_no_utf8(exported: Path, tmp_path: Path) -> None:
    content, path = exported.read_bytes(), tmp_path / "c.onnx"
    for text, message in (
        (PRECISION.encode(), r"a damaged one \(metadata that are not UTF-8"),
        (b"float32", r"a damaged one \(metadata that are not UTF-8"),
        (b"MatMul", r"found the operator b.*xff"),
    ):
        assert text in content
        path.write_bytes(content.replace(text, b"\xff" * len(text)))
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)


def test_a_file_nested_too_deeply(exported: Path, tmp_path: Path) -> None:
    """Graphs in operators of graphs: none may end the process, or take another error's name."""
    import onnx

    model = onnx.ModelProto()
    for _ in range(60):
        outer = onnx.ModelProto()
        outer.graph.node.add(op_type="Identity").attribute.add().g.CopyFrom(model.graph)
        model = outer
    path = tmp_path / "c.onnx"
    path.write_bytes(exported.read_bytes() + model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"a damaged one .*[Dd]epth"):
        load_checkpoint(path)

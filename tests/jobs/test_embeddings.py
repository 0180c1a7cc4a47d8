"""`run --embeddings`: the input of the head, stored beside its probabilities."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from conftest import LABELS, Runner
from networks import small_checkpoint
from results import SCORES, assert_holds, score

from batch_ser.audio.samples import Samples
from batch_ser.errors import CheckpointError, MismatchError
from batch_ser.inputs import Selection
from batch_ser.results.layout import Output
from batch_ser.results.verification import verify
from models.architectures import build
from models.checkpoint import read_info, read_weights
from models.network import Network


@pytest.fixture(scope="module")
def embedding_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with an embedding of 16 numbers."""
    path = tmp_path_factory.mktemp("embedding") / "hidden.safetensors"
    return small_checkpoint(path, "whisper, hidden", LABELS)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, archive: Path, embedding_path: Path) -> Path:
    out = tmp_path_factory.mktemp("stored") / "results.parquet"
    assert score(archive, out, embedding_path, embeddings=True).exit_code == 0
    return out


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (segments, width) and probabilities (segments, labels)."""
    table = pq.read_table(path)
    return np.stack(table["embedding"].to_pylist()), table.select(SCORES).to_pandas().to_numpy()


def network_of(path: Path) -> Network:
    info = read_info(path)
    network = build(info.architecture, len(info.labels), info.settings)
    network.load_state_dict(read_weights(path))
    return network.eval()


def test_the_head_scores_stored_embeddings_as_stored(stored: Path, embedding_path: Path) -> None:
    embeddings, probabilities = read(stored)
    assert embeddings.shape == (len(probabilities), 16)
    with torch.inference_mode():
        logits = network_of(embedding_path).forward_head(
            torch.tensor(embeddings, dtype=torch.float32)
        )
    again = torch.softmax(logits, 1).numpy()
    assert np.abs(again - probabilities).max() < 0.01  # embeddings have float16's precision
    assert_holds(stored)


def test_verify_finds_an_embedding_that_is_not_finite(stored: Path, tmp_path: Path) -> None:
    for name in stored.parent.iterdir():
        shutil.copy(name, tmp_path / name.name)
    table = pq.read_table(stored)
    rows = table["embedding"].to_pylist()
    rows[3][2] = float("nan")
    column = table.schema.get_field_index("embedding")
    broken = table.set_column(
        column, table.schema.field(column), pa.array(rows, table.schema.field(column).type)
    )
    pq.write_table(broken, tmp_path / stored.name)
    faults = verify(Output(str(tmp_path / stored.name))).faults
    assert any("an embedding that is missing or not finite" in each for each in faults)


@pytest.mark.ray
def test_scores_and_embeddings_do_not_depend_on_options_and_workers(
    stored: Path, archive: Path, embedding_path: Path, tmp_path: Path
) -> None:
    plain, again = tmp_path / "plain.parquet", tmp_path / "again.parquet"
    score(archive, plain, embedding_path)
    score(archive, again, embedding_path, embeddings=True, engine="ray", workers=2, batch_s=1.0)
    expected = pq.read_table(stored)
    assert "embedding" not in pq.read_schema(plain).names
    for path in (plain, again):
        found = pq.read_table(path)
        assert found["file"].to_pylist() == expected["file"].to_pylist()
        for name in SCORES:
            assert np.allclose(found[name].to_numpy(), expected[name].to_numpy(), atol=1e-4)
    assert np.allclose(read(again)[0], read(stored)[0], rtol=2e-3, atol=2e-3)


def test_a_long_segment_has_the_mean_of_its_pieces(
    embedding_path: Path, speech: Samples, tmp_path: Path
) -> None:
    """40 s in pieces of 30 s: the last one covers the last 30 s and counts by its new 10 s."""
    long = np.concatenate([speech, speech])[: 40 * 16_000]
    for name, samples in (
        ("long", long),
        ("first", long[: 30 * 16_000]),
        ("last", long[-480_000:]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        soundfile.write(folder / "call.wav", samples, 16_000, subtype="FLOAT")
        score(
            folder,
            folder / "out.parquet",
            embedding_path,
            embeddings=True,
            segment={"method": "whole"},
        )
    each = {name: read(tmp_path / name / "out.parquet")[0][0] for name in ("long", "first", "last")}
    assert np.allclose(each["long"], (30 * each["first"] + 10 * each["last"]) / 40, atol=2e-3)


def test_embeddings_are_not_added_to_a_table_without_them(
    stored: Path, archive: Path, embedding_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match="embeddings was True, is absent"):
        score(archive, stored, embedding_path)
    plain = tmp_path / "plain.parquet"
    score(archive, plain, embedding_path)
    with pytest.raises(MismatchError, match="embeddings was absent, is True"):
        score(archive, plain, embedding_path, embeddings=True)


@pytest.mark.parametrize(
    ("name", "message"), [("hf", "no embedding"), ("whisper", "an embedding of 128 numbers")]
)
def test_a_network_without_a_small_embedding_is_refused(
    name: str, message: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "hf":
        pytest.importorskip("transformers")
    monkeypatch.setattr("models.scoring.WIDEST", 100)
    path = small_checkpoint(tmp_path / "wide.safetensors", name, LABELS)
    with pytest.raises(CheckpointError, match=message):
        score(archive, tmp_path / "out.parquet", path, embeddings=True)
    assert not (tmp_path / "out.parquet").exists()


def test_a_manifests_own_column_embedding_is_renamed(
    archive: Path, embedding_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    manifest = tmp_path / "calls.csv"
    manifest.write_text(f"file,embedding\n{archive / 'day0' / 'call03.flac'},own\n")
    out = tmp_path / "out.parquet"
    found = batch_ser(
        *("run", "--input", manifest, "--root", "/", "--out", out),
        *("--model", embedding_path, "--embeddings", "--engine", "inline"),
    )
    assert found.returncode == 0, found.stderr
    table = pq.read_table(out)
    assert set(table["in_embedding"].to_pylist()) == {"own"}
    assert table.schema.field("embedding").type.list_size == 16


def test_it_is_renamed_also_without_embeddings(
    archive: Path, embedding_path: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "calls.csv"
    manifest.write_text(f"file,embedding\n{archive / 'day0' / 'call03.flac'},own\n")
    out = tmp_path / "out.parquet"
    score(manifest, out, embedding_path, selection=Selection(root="/"))
    assert set(pq.read_table(out)["in_embedding"].to_pylist()) == {"own"}
    assert_holds(out)

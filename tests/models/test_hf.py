"""Hugging Face directories: scored as by transformers itself, or refused with a reason."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Runner, cuts

from batch_ser.audio.samples import Samples
from batch_ser.errors import CheckpointError
from jobs import RunConfig, run
from models import load_checkpoint

transformers: Any = pytest.importorskip("transformers")
LABELS = {0: "ang", 1: "hap", 2: "neu"}
SPEECH: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "classifier_proj_size": 16,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
Write = Callable[..., Path]


def model_of(kind: str) -> tuple[Any, Any]:
    """A tiny model with random weights, and its feature extractor."""
    extractor = transformers.Wav2Vec2FeatureExtractor()
    if kind == "ast":
        config = transformers.ASTConfig(
            id2label=LABELS,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_length=204,
        )
        extractor = transformers.ASTFeatureExtractor(max_length=204, mean=-5.0, std=3.5)
        return transformers.ASTForAudioClassification(config), extractor
    if kind == "whisper":
        config = transformers.WhisperConfig(
            id2label=LABELS,
            d_model=32,
            encoder_layers=2,
            encoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=64,
            classifier_proj_size=16,
            vocab_size=100,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
        return transformers.WhisperForAudioClassification(config), (
            transformers.WhisperFeatureExtractor()
        )
    name, norm = {
        "wav2vec2": ("Wav2Vec2", "group"),
        "layer": ("Wav2Vec2", "layer"),
        "hubert": ("Hubert", "group"),
        "wavlm": ("WavLM", "group"),
    }[kind]
    config = getattr(transformers, f"{name}Config")(
        id2label=LABELS, feat_extract_norm=norm, do_stable_layer_norm=norm == "layer", **SPEECH
    )
    return getattr(transformers, f"{name}ForSequenceClassification")(config), extractor


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Write a model's directory, with a head of large weights, so that scores differ."""

    def write(kind: str, seed: int = 0) -> Path:
        torch.manual_seed(seed)
        model, extractor = model_of(kind)
        with torch.no_grad():
            last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
            # Whisper's mean is over 30 s of mostly silence: segments hardly differ
            last.weight.normal_(0, 15.0 if kind == "whisper" else 3.0)
        folder = tmp_path / f"{kind}-{seed}"
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)
        return folder

    return write


KINDS = ["wav2vec2", "layer", "hubert", "wavlm", "ast", "whisper"]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_transformers(kind: str, written: Write, speech: Samples) -> None:
    folder = written(kind)
    checkpoint = load_checkpoint(f"hf:{folder}")
    assert checkpoint.info.labels == ("ang", "hap", "neu")
    model = transformers.AutoModelForAudioClassification.from_pretrained(folder).eval()
    extract = transformers.AutoFeatureExtractor.from_pretrained(folder)
    segments = [each[: round(checkpoint.info.max_input_s * 16_000)] for each in cuts(speech)[1:]]
    expected = []
    for segment in segments:
        with torch.inference_mode():
            found = extract(segment, sampling_rate=16_000, return_tensors="pt")
            name = extract.model_input_names[0]
            expected.append(model(found[name]).logits.softmax(1)[0].numpy())
    assert np.ptp(expected, axis=0).max() > 0.001  # they differ
    assert np.abs(checkpoint.score_all(segments) - np.stack(expected)).max() < 1e-4
    assert np.abs(checkpoint.score_all(segments[::-1])[::-1] - np.stack(expected)).max() < 1e-4


@pytest.mark.parametrize("kind", ["wav2vec2", "ast"])
def test_a_job_with_a_directory(kind: str, written: Write, archive: Path, tmp_path: Path) -> None:
    folder, out = written(kind), tmp_path / "results.parquet"
    report = run(
        RunConfig(
            (str(archive / "day1"),),
            str(out),
            f"hf:{folder}",
            engine="inline",
            segment={"method": "whole"},
        )
    )
    rows = pd.read_parquet(out)
    assert report.exit_code == 0
    assert len(rows) == 7
    assert [name for name in rows if name.startswith("p_")] == ["p_ang", "p_hap", "p_neu"]
    assert np.allclose(rows[["p_ang", "p_hap", "p_neu"]].sum(axis=1), 1, atol=1e-5)


@pytest.mark.ray
@pytest.mark.exhaustive
def test_a_job_on_ray_from_another_folder(
    written: Write, archive: Path, tmp_path: Path, program: Runner
) -> None:
    folder = written("wav2vec2")
    done = program(
        *("run", "--input", archive / "day1", "--out", "out.parquet", "--workers", 1),
        *("--model", f"hf:{folder.name}", "--segment", "whole"),
        cwd=folder.parent,
    )
    assert done.returncode == 0, done.stderr
    scores = pd.read_parquet(tmp_path / "out.parquet")["p_hap"]
    report = run(
        RunConfig(
            (str(archive / "day1"),),
            str(tmp_path / "b.parquet"),
            f"hf:{folder}",
            engine="inline",
            segment={"method": "whole"},
        )
    )
    assert report.exit_code == 0
    assert np.allclose(scores, pd.read_parquet(tmp_path / "b.parquet")["p_hap"], atol=1e-4)


def test_the_digest_is_that_of_the_weights(written: Write, tmp_path: Path) -> None:
    one, other = written("ast", 0), written("ast", 1)
    again = Path(shutil.copytree(one, tmp_path / "again"))
    digests = [load_checkpoint(f"hf:{folder}").digest for folder in (one, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_older_extractor_files_do_not_name_their_kind(written: Write, speech: Samples) -> None:
    for kind in ("ast", "wav2vec2"):
        folder = written(kind)
        before = load_checkpoint(f"hf:{folder}").score(speech[:32_000], 16_000)
        path = folder / "preprocessor_config.json"
        content = json.loads(path.read_text())
        del content["feature_extractor_type"]
        path.write_text(json.dumps(content))
        after = load_checkpoint(f"hf:{folder}").score(speech[:32_000], 16_000)
        assert np.array_equal(before, after)


def change(folder: Path, name: str, **values: object) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | values))


def break_it(folder: Path, how: str) -> None:
    """Make a good wav2vec 2.0 directory into one that cannot be used."""
    if how == "pickled":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif how == "no config":
        (folder / "config.json").unlink()
    elif how == "no extractor":
        (folder / "preprocessor_config.json").unlink()
    elif how == "no JSON":
        (folder / "config.json").write_text("{")
    elif how == "no head":
        model = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**SPEECH))
        model.save_pretrained(folder)
    elif how == "a lost head":
        change(folder, "config.json", classifier_proj_size=24)
    elif how == "one label":
        change(folder, "config.json", id2label={"0": "ang"}, label2id={"ang": 0})
    elif how == "other sizes":
        change(folder, "config.json", hidden_size=64)
    elif how == "unknown extractor":
        change(folder, "preprocessor_config.json", feature_extractor_type="OtherExtractor")
    elif how == "unknown model":
        change(folder, "config.json", model_type="oracle")
    elif how == "damaged weights":
        (folder / "model.safetensors").write_bytes(b"not weights")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("pickled", "found pickled weights"),
        ("no config", "there is no config.json"),
        ("no extractor", "there is no preprocessor_config.json"),
        ("no JSON", "expected JSON"),
        ("no head", "expected an audio classifier"),
        ("a lost head", "cannot be loaded|do not fit"),
        ("one label", "names 1 labels"),
        ("other sizes", "cannot be loaded|do not fit"),
        ("unknown extractor", "expected one of Wav2Vec2FeatureExtractor"),
        ("unknown model", "no audio classifier"),
        ("damaged weights", "cannot be loaded"),
    ],
)
def test_directories_that_cannot_be_used(how: str, message: str, written: Write) -> None:
    folder = written("wav2vec2")
    break_it(folder, how)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(f"hf:{folder}")


def test_a_folder_without_hf_and_a_missing_package(
    written: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written("ast")
    with pytest.raises(CheckpointError, match=r"expected a \.safetensors or \.onnx file, or hf:"):
        load_checkpoint(str(folder))
    with pytest.raises(CheckpointError, match="there is no such folder"):
        load_checkpoint(f"hf:{tmp_path / 'nowhere'}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CheckpointError, match="pip install 'batch-ser\\[hf\\]'"):
        load_checkpoint(f"hf:{folder}")


def test_loading_prints_nothing(written: Write, capfd: pytest.CaptureFixture[str]) -> None:
    folder = written("wav2vec2")
    capfd.readouterr()
    load_checkpoint(f"hf:{folder}")
    assert capfd.readouterr().err == ""

"""Hugging Face directories as they are found: older, incomplete, contradictory."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import cuts
from safetensors.torch import load_file, save_file
from torch import Tensor

from batch_ser.audio import Samples
from batch_ser.errors import CheckpointError
from models import load_checkpoint
from models.ast import settings_of
from models.checkpoint import save_checkpoint
from models.directory import read_directory
from train.optimiser import make_optimiser
from train.recipes import find_recipe
from train.start import new_network

transformers: Any = pytest.importorskip("transformers")
Weights = dict[str, Tensor]
Copy = Callable[[Path], Path]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A directory that a test may change."""
    return lambda directory: Path(shutil.copytree(directory, tmp_path / "copy"))


def write(folder: Path, name: str, **values: object) -> None:
    """Change entries of a JSON file; None removes one."""
    content = json.loads((folder / name).read_text()) | values
    kept = {key: value for key, value in content.items() if value is not None}
    (folder / name).write_text(json.dumps(kept))


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def scores(folder: Path, speech: Samples) -> np.ndarray:
    return load_checkpoint(f"hf:{folder}").score_all(cuts(speech)[1:4])


OLDER_KEYS = {
    "num_labels": 3, "torch_dtype": "float16", "return_dict": False, "output_hidden_states": True,
    "output_attentions": True, "_name_or_path": "somebody/else", "finetuning_task": "emotion",
    "gradient_checkpointing": False, "attn_implementation": "eager", "_commit_hash": "0",
}  # fmt: skip


def test_keys_of_older_versions_change_nothing(
    wav2vec_directory: Path, copy: Copy, speech: Samples, tmp_path: Path
) -> None:
    expected = scores(wav2vec_directory, speech)
    folder = copy(wav2vec_directory)
    write(folder, "config.json", **OLDER_KEYS)
    assert np.array_equal(scores(folder, speech), expected)
    checkpoint, file = load_checkpoint(f"hf:{folder}"), tmp_path / "saved.safetensors"
    save_checkpoint(file, checkpoint.info, checkpoint._network)
    saved = load_checkpoint(file)
    assert saved.info == checkpoint.info
    assert np.array_equal(saved.score_all(cuts(speech)[1:4]), expected)


def test_older_names_of_weights_are_known(
    wav2vec_directory: Path, copy: Copy, speech: Samples
) -> None:
    """The position's weight norm was `weight_g` and `weight_v` before parametrisations."""

    def older(state: Weights) -> Weights:
        new, old = "parametrizations.weight.original", ("weight_g", "weight_v")
        found = {
            name.replace(f"{new}0", old[0]).replace(f"{new}1", old[1]): tensor
            for name, tensor in state.items()
        }
        assert found.keys() != state.keys()
        return found

    folder = copy(wav2vec_directory)
    rewrite(folder, older)
    assert np.array_equal(scores(folder, speech), scores(wav2vec_directory, speech))


def test_what_only_training_hears_may_be_missing(
    wav2vec_directory: Path, copy: Copy, speech: Samples
) -> None:
    folder = copy(wav2vec_directory)
    write(folder, "config.json", mask_time_prob=0.05)  # transformers adds masked_spec_embed
    assert "wav2vec2.masked_spec_embed" not in load_file(folder / "model.safetensors")
    assert np.array_equal(scores(folder, speech), scores(wav2vec_directory, speech))


@pytest.mark.parametrize("lost", ["classifier.weight", "projector.bias"])
def test_a_lost_head_is_not_random(wav2vec_directory: Path, copy: Copy, lost: str) -> None:
    """transformers fills what a file lacks with random numbers and only warns."""
    folder = copy(wav2vec_directory)
    rewrite(folder, lambda state: {name: each for name, each in state.items() if name != lost})
    with pytest.raises(CheckpointError, match=f"1 tensors are missing .*such as {lost}"):
        load_checkpoint(f"hf:{folder}")
    assert lost in read_directory(folder).weights(with_head=False)  # a training gives a new head


@pytest.mark.parametrize("change", [{"num_hidden_layers": 3}, {"intermediate_size": 48}])
def test_an_encoder_is_never_random(
    wav2vec_directory: Path, copy: Copy, change: dict[str, int]
) -> None:
    folder = copy(wav2vec_directory)
    write(folder, "config.json", **change)
    for with_head in (True, False):
        with pytest.raises(CheckpointError, match=r"do not fit its config.*encoder\.layers"):
            read_directory(folder).weights(with_head)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"id2label": {"a": "neu", "b": "hap", "c": "ang"}}, "expected names by number"),
        ({"id2label": ["neu", "hap", "ang"]}, "expected names by number"),
        ({"id2label": {"0": "neu", "1": "hap", "2": "hap"}}, "neu, hap, hap.*different"),
        ({"id2label": {}}, "names 0 labels .*none"),
        ({"id2label": dict(zip("0123", "abcd", strict=True)), "label2id": {}}, "another size"),
        ({"problem_type": "regression"}, "regression, expected single_label"),
        ({"problem_type": "multi_label_classification"}, "multi_label_classification, expected"),
        ({"model_type": None}, "with model_type"),
        ({"model_type": "bert"}, "no audio classifier"),
        ({"hidden_size": "wide"}, "no audio classifier.*hidden_size"),
        ({"num_attention_heads": 5}, "no audio classifier.*divisible"),
    ],
)
def test_what_config_json_cannot_say(
    wav2vec_directory: Path, copy: Copy, entry: dict[str, object], says: str
) -> None:
    folder = copy(wav2vec_directory)
    write(folder, "config.json", **entry)
    with pytest.raises(CheckpointError, match=says) as refused:
        load_checkpoint(f"hf:{folder}")
    assert str(folder) in str(refused.value)
    assert len(str(refused.value)) < len(str(folder)) + 400


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"max_length": 256}, "do not fit each other"),
        ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, "do not fit each other"),
        ({"sampling_rate": None}, "sampling_rate"),
    ],
)
def test_an_extractor_of_another_model(
    ast_directory: Path, copy: Copy, entry: dict[str, object], says: str
) -> None:
    folder = copy(ast_directory)
    write(folder, "preprocessor_config.json", **entry)
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(f"hf:{folder}")


def test_code_in_a_directory_is_never_run(
    wav2vec_directory: Path, copy: Copy, speech: Samples, tmp_path: Path
) -> None:
    folder, trace = copy(wav2vec_directory), tmp_path / "trace"
    (folder / "code.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    code = {"AutoConfig": "code.Config", "AutoModelForAudioClassification": "code.Model"}
    write(folder, "config.json", auto_map=code)
    assert np.array_equal(scores(folder, speech), scores(wav2vec_directory, speech))
    write(folder, "config.json", model_type="theirs")
    for load in (
        lambda: load_checkpoint(f"hf:{folder}"),
        lambda: read_directory(folder).weights(with_head=False),
    ):
        with pytest.raises(CheckpointError):
            load()
    assert not trace.exists()


def test_an_ast_directory_s_normalisation(ast_directory: Path, copy: Copy) -> None:
    folder = copy(ast_directory)
    write(folder, "preprocessor_config.json", mean=-5.0, std=3.5)
    found = settings_of(read_directory(folder))
    assert (found["mean"], found["std"], found["max_length"]) == (-5.0, 3.5, 128)
    write(folder, "preprocessor_config.json", mean=None, std=None)
    assert not {"mean", "std"} & settings_of(read_directory(folder)).keys()  # the extractor's own
    write(folder, "preprocessor_config.json", do_normalize=False)
    found = settings_of(read_directory(folder))
    assert (found["mean"], 2 * found["std"]) == (0.0, 1.0)


def test_two_labels_with_the_default_names(tmp_path: Path) -> None:
    """transformers does not write the names LABEL_0 and LABEL_1."""
    config = transformers.ASTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, max_length=204
    )
    model = transformers.ASTForAudioClassification(config)
    model.save_pretrained(tmp_path)
    transformers.ASTFeatureExtractor(max_length=204).save_pretrained(tmp_path)
    assert "id2label" not in json.loads((tmp_path / "config.json").read_text())
    assert load_checkpoint(f"hf:{tmp_path}").info.labels == ("LABEL_0", "LABEL_1")


def test_only_what_comes_pretrained_learns_at_its_own_rate(ast_directory: Path) -> None:
    sizes = settings_of(read_directory(ast_directory))
    recipe = replace(find_recipe("ast"), settings=sizes)

    def rates(init: str | None) -> set[float]:
        groups = make_optimiser(new_network(recipe, 3, init, seed=0), recipe).param_groups
        return {group["lr"] for group in groups}

    assert recipe.pretrained_rate != recipe.learning_rate
    assert rates(str(ast_directory)) == {recipe.learning_rate, recipe.pretrained_rate}
    assert rates(None) == {recipe.learning_rate}

"""Hugging Face directories of older versions, incomplete and contradictory ones."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL, cuts
from safetensors.torch import load_file, save_file
from torch import Tensor

from batch_ser.audio.samples import Samples
from batch_ser.errors import CheckpointError, UsageError
from models import load_checkpoint
from models.ast import settings_of
from models.checkpoint import save_checkpoint
from models.directory import read_directory
from train.fitting.initialisation import new_network
from train.fitting.optimiser import make_optimiser
from train.recipes.overrides import find_recipe

transformers: Any = pytest.importorskip("transformers")
Weights = dict[str, Tensor]
Copy = Callable[[Path], Path]


@pytest.fixture
def whisper_directory(tmp_path: Path) -> Path:
    """A small Whisper as it is published: with a decoder, without a classifier."""
    torch.manual_seed(6)
    path = tmp_path / "whisper"
    config = transformers.WhisperConfig(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        classifier_proj_size=16,
        use_weighted_layer_sum=True,
        vocab_size=100,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    transformers.WhisperForConditionalGeneration(config).save_pretrained(path)
    transformers.WhisperFeatureExtractor().save_pretrained(path)
    return path


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
    "num_labels": 3,
    "torch_dtype": "float16",
    "return_dict": False,
    "output_hidden_states": True,
    "output_attentions": True,
    "_name_or_path": "somebody/else",
    "finetuning_task": "emotion",
    "gradient_checkpointing": False,
    "attn_implementation": "eager",
    "_commit_hash": "0",
}


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


def test_older_names_of_weights_are_read(
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


def test_weights_of_training_only_may_be_missing(
    wav2vec_directory: Path, copy: Copy, speech: Samples
) -> None:
    folder = copy(wav2vec_directory)
    write(folder, "config.json", mask_time_prob=0.05)  # transformers adds masked_spec_embed
    assert "wav2vec2.masked_spec_embed" not in load_file(folder / "model.safetensors")
    assert np.array_equal(scores(folder, speech), scores(wav2vec_directory, speech))


@pytest.mark.parametrize("lost", ["classifier.weight", "projector.bias"])
def test_a_lost_head_is_not_random(wav2vec_directory: Path, copy: Copy, lost: str) -> None:
    """transformers initialises missing weights at random and only warns."""
    folder = copy(wav2vec_directory)
    rewrite(folder, lambda state: {name: each for name, each in state.items() if name != lost})
    with pytest.raises(CheckpointError, match=f"1 tensors are missing .*such as {lost}"):
        load_checkpoint(f"hf:{folder}")
    assert lost in read_directory(folder).weights(
        with_head=False
    )  # training initialises a new head


@pytest.mark.parametrize("change", [{"num_hidden_layers": 3}, {"intermediate_size": 48}])
def test_an_encoder_is_never_random(
    wav2vec_directory: Path, copy: Copy, change: dict[str, int]
) -> None:
    folder = copy(wav2vec_directory)
    write(folder, "config.json", **change)
    for with_head in (True, False):
        with pytest.raises(CheckpointError, match=r"do not fit its config.*encoder\.layers"):
            read_directory(folder).weights(with_head=with_head)


@pytest.mark.parametrize(
    ("entry", "message"),
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
def test_a_config_json_that_is_refused(
    wav2vec_directory: Path, copy: Copy, entry: dict[str, object], message: str
) -> None:
    folder = copy(wav2vec_directory)
    write(folder, "config.json", **entry)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_checkpoint(f"hf:{folder}")
    assert str(folder) in str(refused.value)
    assert len(str(refused.value)) < len(str(folder)) + 400


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"max_length": 256}, "do not fit each other"),
        ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, "do not fit each other"),
        ({"sampling_rate": None}, "sampling_rate"),
    ],
)
def test_an_extractor_of_another_model(
    ast_directory: Path, copy: Copy, entry: dict[str, object], message: str
) -> None:
    folder = copy(ast_directory)
    write(folder, "preprocessor_config.json", **entry)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(f"hf:{folder}")


def test_code_in_a_directory_is_never_run(
    wav2vec_directory: Path, copy: Copy, speech: Samples, tmp_path: Path
) -> None:
    folder, trace = copy(wav2vec_directory), tmp_path / "trace"
    (folder / "code.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    code = {"AutoConfig": "code.Config", "AutoModelForAudioClassification": "code.Model"}
    write(folder, "config.json", auto_map=code)
    assert np.array_equal(scores(folder, speech), scores(wav2vec_directory, speech))
    write(folder, "config.json", model_type="other")
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


def test_only_pretrained_weights_have_their_own_learning_rate(ast_directory: Path) -> None:
    sizes = settings_of(read_directory(ast_directory))
    recipe = replace(find_recipe("ast"), settings=sizes)
    chosen = recipe.optimisation

    def rates(init: str | None) -> set[float]:
        groups = make_optimiser(new_network(recipe, 3, init, seed=0), chosen).param_groups
        return {group["lr"] for group in groups}

    assert chosen.pretrained_rate != chosen.learning_rate
    assert rates(str(ast_directory)) == {chosen.learning_rate, chosen.pretrained_rate}
    assert rates(None) == {chosen.learning_rate}


@pytest.mark.parametrize(
    ("kind", "encoder", "new"),
    [
        ("wav2vec", "model.wav2vec2.", {"projector", "classifier"}),
        ("whisper", "model.encoder.", {"projector", "classifier", "layer_weights"}),
        ("ast", "model.audio_spectrogram_transformer.", {"classifier"}),
    ],
)
def test_the_encoder_of_any_classifier_has_its_own_learning_rate(
    kind: str, encoder: str, new: set[str], request: pytest.FixtureRequest
) -> None:
    """Whisper's base_model_prefix is not the name of its classifier's encoder."""
    recipe = find_recipe("hf")
    chosen = recipe.optimisation
    network = new_network(recipe, 4, str(request.getfixturevalue(f"{kind}_directory")), seed=0)
    groups = make_optimiser(network, chosen).param_groups
    assert [group["lr"] for group in groups] == [chosen.learning_rate, chosen.pretrained_rate]
    names = {parameter: name for name, parameter in network.named_parameters()}
    head, pretrained = ([names[each] for each in group["params"]] for group in groups)
    assert {name.split(".")[1] for name in head} == new
    assert all(name.startswith(encoder) for name in pretrained)
    trained = [each for each in network.parameters() if each.requires_grad]
    assert len(head) + len(pretrained) == len(trained)


def test_a_whisper_encoder_is_never_random(whisper_directory: Path, copy: Copy) -> None:
    recipe = find_recipe("hf")
    network = new_network(recipe, 3, str(whisper_directory), seed=0)
    stored = load_file(whisper_directory / "model.safetensors")
    loaded = network.state_dict()["model.encoder.conv1.weight"]
    assert torch.equal(loaded, stored["model.encoder.conv1.weight"])
    folder, lost = copy(whisper_directory), "encoder.layers.1.fc1.weight"
    rewrite(folder, lambda state: {key: each for key, each in state.items() if lost not in key})
    with pytest.raises(CheckpointError, match=f"1 tensors are missing .*such as {lost}"):
        new_network(recipe, 3, str(folder), seed=0)


@pytest.mark.parametrize(
    ("name", "value", "stored"), [("max_length", 64, 128), ("hidden_size", 64, 32)]
)
def test_sizes_that_contradict_the_directory(
    ast_directory: Path, name: str, value: int, stored: int
) -> None:
    recipe = replace(find_recipe("ast"), settings={name: value, "head_dropout": 0.1})
    message = (
        rf"settings\.{name}={value} does not fit .* for {name} {stored}: leave the setting out"
    )
    with pytest.raises(UsageError, match=message):
        new_network(recipe, 3, str(ast_directory), seed=0)


def test_settings_that_go_with_any_directory(ast_directory: Path) -> None:
    settings = {"max_length": 128, "head_dropout": 0.1, "mean": -5.0, "std": 3.5}
    recipe = replace(find_recipe("ast"), settings=settings)
    stored = new_network(recipe, 3, str(ast_directory), seed=0).stored_settings()
    assert settings.items() <= stored.items()


def test_an_init_without_an_encoder_is_refused(tmp_path: Path, wav2vec_directory: Path) -> None:
    recipe = replace(find_recipe("whisper-frozen"), settings=SMALL)
    with pytest.raises(CheckpointError, match="found a folder, expected a safetensors file"):
        new_network(recipe, 3, str(tmp_path), seed=0)
    other = wav2vec_directory / "model.safetensors"
    with pytest.raises(CheckpointError, match="not the weights of this encoder") as refused:
        new_network(recipe, 3, str(other), seed=0)
    assert len(str(refused.value)) < len(str(other)) + 550

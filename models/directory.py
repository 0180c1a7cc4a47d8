"""A local Hugging Face directory: configuration and weights, checked before anything is built.

Nothing is downloaded, no code from the directory is run, and pickled weights are refused.
"""

import contextlib
import hashlib
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from batch_ser.errors import CheckpointError
from batch_ser.features import EXTRACTORS

CONFIG, EXTRACTOR, WEIGHTS = "config.json", "preprocessor_config.json", "*.safetensors"
IMPLIED = {  # the extractor of a model_type, where an older preprocessor_config.json has none
    "audio-spectrogram-transformer": "ASTFeatureExtractor",
    "whisper": "WhisperFeatureExtractor",
    "wav2vec2-bert": "SeamlessM4TFeatureExtractor",
}
HEAD = ("classifier", "projector", "layer_weights")  # of transformers' classifiers of audio
TRAINING_ONLY = "masked_spec_embed"  # fine-tuned models often come without it

DEFAULT_LABELS = {"0": "LABEL_0", "1": "LABEL_1"}  # which transformers does not write


def need_transformers(what: str) -> ModuleType:
    """The package transformers, which is an extra.

    Raises:
        CheckpointError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise CheckpointError(
            f"{what} needs the package transformers: pip install 'batch-ser[hf]'"
        ) from error
    module: ModuleType = transformers
    return module


@dataclass(frozen=True)
class Directory:
    """An audio model with its feature extractor, both as JSON."""

    path: Path
    config: dict[str, Any]
    extractor: dict[str, Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the outputs.

        Raises:
            CheckpointError: `id2label` is not as transformers writes it.
        """
        names = self.config.get("id2label")
        if names is None:
            names = DEFAULT_LABELS
        try:
            return tuple(str(names[number]) for number in sorted(names, key=int))
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path}: id2label is {names}; expected names by number, such as "
                '{"0": "angry", "1": "calm"}'
            ) from error

    def weights(self, *, with_head: bool) -> dict[str, torch.Tensor]:
        """The classifier's tensors by name; without `with_head`, those of its head may be random.

        Raises:
            CheckpointError: the files cannot be read, do not fit each other, or lack weights.
        """
        transformers = need_transformers(f"the model {self.path}")
        with _quiet(transformers):
            try:
                model, found = transformers.AutoModelForAudioClassification.from_pretrained(
                    self.path,
                    local_files_only=True,
                    use_safetensors=True,
                    trust_remote_code=False,
                    dtype=torch.float32,
                    ignore_mismatched_sizes=True,  # reported below
                    output_loading_info=True,
                )
            except Exception as error:  # of many kinds, all about the files
                reason = one_line(error)
                raise CheckpointError(f"{self.path}: cannot be loaded: {reason}") from error
        wrong = sorted(found["missing_keys"] | {name for name, *_ in found["mismatched_keys"]})
        wrong = [name for name in wrong if with_head or not is_of_head(name)]
        wrong = [name for name in wrong if TRAINING_ONLY not in name]
        if wrong:  # transformers has put random numbers there
            raise CheckpointError(
                f"{self.path}: its weights do not fit its config.json: {len(wrong)} tensors are "
                f"missing or of another size, such as {wrong[0]}"
            )
        return dict(model.state_dict())

    def digest(self) -> str:
        """SHA-256 over configuration, feature extractor and weights."""
        whole = hashlib.sha256()
        for path in [self.path / CONFIG, self.path / EXTRACTOR, *sorted(self.path.glob(WEIGHTS))]:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        return whole.hexdigest()


def read_directory(path: Path) -> Directory:
    """A directory that `save_pretrained` of a model and of its feature extractor wrote.

    Raises:
        CheckpointError: it is not one; the message names what is missing.
    """
    if not path.is_dir():
        raise CheckpointError(
            f"{path}: there is no such folder; expected a local Hugging Face directory (nothing is "
            "downloaded)"
        )
    config, extractor = _json(path / CONFIG), _json(path / EXTRACTOR)
    if not list(path.glob(WEIGHTS)):
        pickled = sorted(path.glob("*.bin")) + sorted(path.glob("*.pt*"))
        found = f"found pickled weights ({pickled[0].name})" if pickled else "found no weights"
        raise CheckpointError(
            f"{path}: {found}, expected model.safetensors; write it with "
            "model.save_pretrained(..., safe_serialization=True)"
        )
    if "model_type" not in config:
        raise CheckpointError(f"{path / CONFIG}: expected a transformers model's, with model_type")
    implied = IMPLIED.get(str(config["model_type"]), EXTRACTORS[0])
    kind = extractor.get("feature_extractor_type", implied)
    if kind not in EXTRACTORS:
        known = ", ".join(EXTRACTORS)
        raise CheckpointError(f"{path}: feature extractor {kind}, expected one of {known}")
    return Directory(path, config, extractor | {"feature_extractor_type": kind})


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        there = ", ".join(sorted(each.name for each in path.parent.iterdir())[:8]) or "nothing"
        raise CheckpointError(
            f"{path.parent}: not a Hugging Face audio directory: there is no {path.name} "
            f"(found: {there})"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return content


def is_of_head(name: str) -> bool:
    """Whether a tensor of a classifier belongs to its head, which training initialises anew."""
    return name.split(".", maxsplit=1)[0] in HEAD


def encoder_name(model: torch.nn.Module) -> str:
    """The name of a classifier's encoder.

    Not `base_model_prefix`: Whisper's is `model`, and its classifier's encoder is `encoder`.
    """
    return next(name for name, _ in model.named_children() if not is_of_head(name))


@contextlib.contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """Suppress transformers' progress bars and warnings on standard error."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def one_line(error: Exception) -> str:
    """The message of a library's error, in one line of bounded length."""
    return textwrap.shorten(str(error) or repr(error), 300)

"""The Audio Spectrogram Transformer, the class of Hugging Face's transformers.

Fine-tuned from a local Hugging Face directory (its configuration, weights, mean and deviation) or
trained from scratch. A dropout is added between encoder and head. The base size has 87 M
parameters and always works on 10.24 s; where that is too slow, train a smaller `max_length` from
scratch.

Source: Gong et al. 2021, AST: Audio Spectrogram Transformer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from batch_ser.errors import CheckpointError, UsageError
from batch_ser.features import Features
from models.directory import Directory, need_transformers, one_line, read_directory
from models.fields import Checked
from models.network import Network

FRAME_S = 0.01
NOT_SIZES = ("head_dropout", "mean", "std")  # settings that change no weight's size


@dataclass(frozen=True)
class ASTSettings(Checked):
    """Sizes under the names of transformers' `ASTConfig`; the defaults are the base model's."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3_072
    patch_size: int = 16
    frequency_stride: int = 10
    time_stride: int = 10
    max_length: int = 1_024  # frames of 10 ms
    num_mel_bins: int = 128
    qkv_bias: bool = True
    head_dropout: float = 0.3
    mean: float = -4.2677393  # of the filter banks; AudioSet's
    std: float = 4.5689974

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_attention_heads < 1 or self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size}: expected a multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )
        if self.max_length < self.patch_size:
            raise ValueError(f"max_length {self.max_length}: a patch has {self.patch_size} frames")
        if not self.std > 0:
            raise ValueError(f"std {self.std}: expected more than 0")


class AST(Network):
    """Kaldi filter banks (batch, bands, frames) -> patches -> Transformer -> dropout -> head."""

    front_end = "kaldi_fbank"
    pretrained = "model.audio_spectrogram_transformer"
    rate_hz = 16_000

    def __init__(self, labels: int, **settings: object) -> None:
        super().__init__()
        transformers = need_transformers("architecture ast")
        self.settings = chosen = ASTSettings(**settings)  # type: ignore[arg-type]
        sizes = self.stored_settings()
        for ours in NOT_SIZES:
            del sizes[ours]
        config = transformers.ASTConfig(num_labels=labels, **sizes)
        self.model = transformers.ASTForAudioClassification(config)
        self.dropout = nn.Dropout(chosen.head_dropout)
        self.embedding_width = chosen.hidden_size
        self.max_input_s = chosen.max_length * FRAME_S
        self.front_end_settings = {
            "bands": chosen.num_mel_bins,
            "frames": chosen.max_length,
            "mean": chosen.mean,
            "std": chosen.std,
        }

    def forward_embedding(self, features: Features) -> Tensor:
        banks = features.values.transpose(1, 2)  # (batch, frames, bands)
        return self.model.audio_spectrogram_transformer(banks).pooler_output  # type: ignore

    def forward_head(self, embeddings: Tensor) -> Tensor:
        return self.model.classifier(self.dropout(embeddings))  # type: ignore[no-any-return]


def settings_of(directory: Directory) -> dict[str, Any]:
    """An AST directory's configuration as settings of this architecture.

    Raises:
        CheckpointError: the directory holds another kind of model.
    """
    kind = directory.config.get("model_type")
    if kind != "audio-spectrogram-transformer":
        raise CheckpointError(
            f"{directory.path}: found a model of type {kind}, expected "
            "audio-spectrogram-transformer; the recipe hf fine-tunes others"
        )
    names = set(ASTSettings.__dataclass_fields__)
    found = {name: value for name, value in directory.config.items() if name in names}
    if not directory.extractor.get("do_normalize", True):
        return found | {"mean": 0.0, "std": 0.5}  # twice the deviation divides
    extractor = directory.extractor
    return found | {name: extractor[name] for name in ("mean", "std") if name in extractor}


def check_sizes(directory: Directory, given: Mapping[str, Any]) -> None:
    """Refuse settings beside a directory that would change the sizes of its weights.

    Raises:
        UsageError: one differs from the directory's.
    """
    base = ASTSettings()  # what config.json leaves out, transformers takes from the base model
    for name in ASTSettings.__dataclass_fields__.keys() - {*NOT_SIZES}:
        expected = directory.config.get(name, getattr(base, name))
        if name in given and given[name] != expected:
            raise UsageError(
                f"settings.{name}={given[name]} does not fit --init {directory.path}, whose "
                f"weights are for {name} {expected}: leave the setting out, or train without --init"
            )


def load_pretrained(network: AST, path: Path) -> None:
    """Load the encoder's weights of an AST directory; the head keeps its random ones.

    Raises:
        CheckpointError: they do not fit.
    """
    state = read_directory(path).weights(with_head=False)
    prefix = "audio_spectrogram_transformer."
    encoder = {
        name.removeprefix(prefix): tensor for name, tensor in state.items() if prefix in name
    }
    try:
        with torch.no_grad():
            network.model.audio_spectrogram_transformer.load_state_dict(encoder)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path}: its weights do not fit its config.json: {one_line(error)}"
        ) from error

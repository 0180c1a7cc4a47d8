"""Any audio classifier of Hugging Face's transformers: wav2vec 2.0, HuBERT, WavLM, AST ...

`run --model hf:DIR` scores with a directory as it is, with its own labels and feature extractor;
the recipe `hf` fine-tunes one. Networks such as wav2vec 2.0 base normalise over time without a
mask, so that padding would change a segment's scores: segments of one length go together, others
apart.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from batch_ser.errors import CheckpointError
from batch_ser.features import EXTRACTORS, Features, front_end
from models.directory import Directory, encoder_name, need_transformers, one_line
from models.fields import Checked, check_json
from models.network import Network

LONGEST_S = 30.0  # of models without a limit: attention's memory grows with its square
AST_FRAME_S, AST_FRAMES = 0.01, 1_024
NOT_SIZES = (  # of config.json: labels, number format, outputs of a call, code to load
    "id2label",
    "label2id",
    "num_labels",
    "dtype",
    "torch_dtype",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "attn_implementation",
    "_attn_implementation",
    "quantization_config",
    "auto_map",
)


@dataclass(frozen=True)
class HFSettings(Checked):
    """The directory's `config.json` and `preprocessor_config.json`."""

    config: dict[str, Any] = field(default_factory=dict)
    extractor: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_json("config", self.config)
        check_json("extractor", self.extractor)
        if "model_type" not in self.config or "sampling_rate" not in self.extractor:
            raise ValueError(
                "expected a Hugging Face directory's configuration (--init DIR), with model_type "
                "and the feature extractor's sampling_rate"
            )
        if self.extractor.get("feature_extractor_type") not in EXTRACTORS:
            raise ValueError(f"expected a feature extractor of {', '.join(EXTRACTORS)}")

    @property
    def is_ast(self) -> bool:
        """Whether the feature extractor returns (frames, bands)."""
        return bool(self.extractor["feature_extractor_type"] == "ASTFeatureExtractor")

    @property
    def longest_s(self) -> float:
        """The longest input of the model."""
        if self.is_ast:
            return float(self.extractor.get("max_length", AST_FRAMES)) * AST_FRAME_S
        return float(self.extractor.get("chunk_length", LONGEST_S))


class HFNet(Network):
    """A classifier of transformers behind its own feature extractor."""

    front_end = "hugging_face"
    embedding_width = 0  # the head's input differs from model to model

    def __init__(self, labels: int, **settings: Any) -> None:
        super().__init__()
        self.settings = HFSettings(**settings)
        transformers = need_transformers("architecture hf")
        known = {key: value for key, value in self.settings.config.items() if key not in NOT_SIZES}
        config = transformers.AutoConfig.for_model(**known, num_labels=labels)
        self.model: Any = transformers.AutoModelForAudioClassification.from_config(config)
        self.pretrained = f"model.{encoder_name(self.model)}"
        self.front_end_settings = {"extractor": self.settings.extractor}
        self.rate_hz = self.settings.extractor["sampling_rate"]
        self.max_input_s = self.settings.longest_s

    def forward_trainable(self, features: Features) -> Tensor:
        lengths = features.frames.tolist()
        logits: dict[int, Tensor] = {}
        for length in set(lengths):
            rows = [row for row, each in enumerate(lengths) if each == length]
            found = self.model(self._shaped(features.values[rows, :, :length])).logits
            logits |= dict(zip(rows, found, strict=True))
        return torch.stack([logits[row] for row in range(len(lengths))])

    def _shaped(self, values: Tensor) -> Tensor:
        """(batch, bands, frames) in the shape that the model expects."""
        if self.settings.is_ast:
            return values.transpose(1, 2)
        return values[:, 0] if values.shape[1] == 1 else values


def build_from_directory(directory: Directory, labels: int) -> HFNet:
    """A network of a directory's kind and sizes, with random weights.

    Raises:
        CheckpointError: transformers cannot build it, or it does not fit its feature extractor.
    """
    need_transformers(f"the model {directory.path}")
    try:
        network = HFNet(labels, config=directory.config, extractor=directory.extractor)
    except Exception as error:  # transformers has errors of its own
        reason = one_line(error)
        raise CheckpointError(f"{directory.path}: no audio classifier: {reason}") from error
    try:
        with torch.inference_mode():  # on the shortest input
            extract = front_end(network.front_end, network.front_end_settings)
            network.eval()(extract([np.zeros(1, np.float32)], torch.device("cpu")))
    except Exception as error:
        raise CheckpointError(
            f"{directory.path}: config.json and preprocessor_config.json do not fit each other: "
            f"{one_line(error)}"
        ) from error
    network.train()
    return network

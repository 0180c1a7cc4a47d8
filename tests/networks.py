"""Small networks of every architecture, with random weights, and directories to make them from."""

from pathlib import Path
from typing import Any

import torch
from conftest import REPOSITORY, cuts
from torch import nn

from batch_ser.audio.recording import load
from batch_ser.features import front_end
from models.architectures import build
from models.checkpoint import CheckpointInfo, save_checkpoint
from models.network import Network

SMALL_AST = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_length": 204,
}
SMALL_WHISPER = {"taps": (1, 2), "layers": 2, "d_model": 32, "heads": 2, "frozen_layers": 2}
SMALL_WAV2VEC2 = {
    "model_type": "wav2vec2",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "classifier_proj_size": 16,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
RAW = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "sampling_rate": 16_000,
    "do_normalize": True,
    "return_attention_mask": False,
    "feature_size": 1,
    "padding_value": 0.0,
}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "ast": ("ast", SMALL_AST),
    "vgg": ("vgg", {}),
    "mfcc_cnn": ("mfcc_cnn", {}),
    "acnt": ("acnt", {}),
    "acnt without transformer": ("acnt", {"use_transformer": False}),
    "gap_cnn": ("gap_cnn", {"channels": [8, 16]}),
    "whisper": ("whisper", SMALL_WHISPER),
    "whisper, attentive": ("whisper", SMALL_WHISPER | {"pooling": "attentive"}),
    "whisper, mixed": (
        "whisper",
        SMALL_WHISPER
        | {"taps": (0, 1, 2), "layer_weights": True, "pooling": "attentive", "frozen_layers": 1},
    ),
    "whisper, hidden": ("whisper", SMALL_WHISPER | {"hidden": 16, "dropout": 0.5}),
    "whisper, offset": (
        "whisper",
        SMALL_WHISPER | {"hidden": 16, "head": "offset", "pooling": "active", "final_norm": False},
    ),
    "whisper, active": ("whisper", SMALL_WHISPER | {"pooling": "active", "hidden": 16}),
    "whisper, free": ("whisper", SMALL_WHISPER | {"frozen_layers": -1}),
    "tdnn": ("tdnn", {"channels": 16, "predicted": 8, "hidden": 16}),
    "hf": ("hf", {"config": SMALL_WAV2VEC2, "extractor": RAW}),
}


def small_network(name: str, labels: int = 4, seed: int = 0) -> Network:
    """Random weights, but statistics of real speech and a large head, so that scores differ."""
    torch.manual_seed(seed)
    architecture, settings = NETWORKS[name]
    network = build(architecture, labels, settings)
    modules = list(network.modules())
    norms = [each for each in modules if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d)]
    with torch.no_grad():
        head = [each for each in modules if isinstance(each, nn.Linear)][-1]
        head.weight.normal_(0, 0.2 if name == "acnt" else 1.0)  # which ends in a layer norm
        if network.has_offset:
            head.weight.mul_(0.3)  # embeddings as a fit leaves them: their noise is about 1
            network.head.means.normal_(0, 1.5)
        if norms:  # as a training leaves them: all of one batch
            speech = load(str(REPOSITORY / "examples" / "calls" / "announcement.opus"), 16_000)
            features_of = front_end(network.front_end, network.front_end_settings)
            features = features_of(cuts(speech), torch.device("cpu"))
            network.fit_statistics([features])
            for norm in norms:
                norm.momentum = 1.0
            network.train()(features)
    return network.eval()


def small_checkpoint(path: Path, name: str, labels: tuple[str, ...], seed: int = 0) -> Path:
    """A file with a small network of an architecture."""
    network = small_network(name, len(labels), seed)
    info = CheckpointInfo(
        name=name,
        architecture=NETWORKS[name][0],
        settings=network.stored_settings(),
        labels=labels,
        front_end=network.front_end,
        front_end_settings=dict(network.front_end_settings),
        rate_hz=network.rate_hz,
        max_input_s=network.max_input_s,
        licence="none: random weights",
    )
    save_checkpoint(path, info, network)
    return path

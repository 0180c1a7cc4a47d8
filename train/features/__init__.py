"""Features and embeddings of all recordings, computed once and kept on disk."""

from train.features.embedding import Embeddings, embed
from train.features.encoded import EncodedFeatures, freeze
from train.features.store import Kept, Store, load_utterance

__all__ = [
    "Embeddings",
    "EncodedFeatures",
    "Kept",
    "Store",
    "embed",
    "freeze",
    "load_utterance",
]

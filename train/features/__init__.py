"""Features and embeddings of all recordings, computed once and cached on disk."""

from train.features.cached import CachedFeatures
from train.features.embedding import Embeddings, embed
from train.features.encoded import EncodedFeatures, freeze
from train.features.store import Store

__all__ = [
    "CachedFeatures",
    "Embeddings",
    "EncodedFeatures",
    "Store",
    "embed",
    "freeze",
]

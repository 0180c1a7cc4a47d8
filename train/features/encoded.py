"""Features of a frozen encoder that only one fold has: a store's features, encoded.

The front end's features are the same for all folds, and cached. The encoder's, which only its fold
uses, are computed from these and stay in memory.
"""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch

from models.network import Network
from train.features.cached import CachedFeatures
from train.features.store import Store


@torch.no_grad()
def freeze(network: Network, *, float16: bool) -> None:
    """Freeze a network's encoder; with `float16` its weights are rounded to what that holds."""
    network.eval()
    for parameter in network.encoder.parameters():
        parameter.requires_grad_(False)
        if float16:
            parameter.copy_(parameter.half().float())


class EncodedFeatures:
    """The views and pieces of a store, encoded by the frozen part of a network."""

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = deepcopy(network).eval()  # a fit takes the network itself into training
        self._found: dict[str, CachedFeatures] = {}
        self.front_end_view = store.front_end_view

    def view(self, number: int, *, temporary: bool = False) -> CachedFeatures:
        """One version of every recording, as `Store.view` has it."""
        return self._encoded(
            f"view {number}", lambda: self._store.view(number, temporary=temporary)
        )

    def pieces(self) -> CachedFeatures:
        """Every recording in pieces that the network takes."""
        return self._encoded("pieces", self._store.pieces)

    def _encoded(self, name: str, features: Callable[[], CachedFeatures]) -> CachedFeatures:
        if name not in self._found:
            self._found[name] = self._encode(features())
        return self._found[name]

    @torch.inference_mode()
    def _encode(self, features: CachedFeatures) -> CachedFeatures:
        """Each piece as the frozen part encodes it, in the order of the pieces."""
        device = next(self._network.parameters()).device
        found: list[torch.Tensor] = [torch.empty(0)] * len(features.ends)
        for numbers, batch in features.batches(np.arange(len(features.ends)), device):
            values, frames = self._network.forward_frozen(batch)
            for number, value, count in zip(numbers, values.cpu(), frames.tolist(), strict=True):
                found[number] = value[:, :count].T.contiguous()
        return CachedFeatures(
            torch.cat(found).numpy(),
            np.cumsum([len(each) for each in found]),
            features.recordings,
            features.weights,
            features.durations_s,
        )

"""Features of a frozen encoder that only one fold has: a store's features, encoded.

An encoder of a fold's own would need features of its own, computed from samples again. What the
front end computes is the same for all folds; the encoder works on that, and its results stay in
memory.
"""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch

from models.network import Network
from train.features.store import Kept, Store


@torch.no_grad()
def freeze(network: Network, half: bool) -> None:
    """Freeze a network's encoder; with `half` its weights become such as float16 holds."""
    network.eval()
    for parameter in network.encoder.parameters():
        parameter.requires_grad_(False)
        if half:
            parameter.copy_(parameter.half().float())


class EncodedFeatures:
    """The views and pieces of a store, encoded by the frozen part of a network."""

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = deepcopy(network).eval()  # a fit takes the network itself into training
        self._found: dict[str, Kept] = {}
        self.picture = store.picture  # of the front end: more than a column of statistics

    def view(self, number: int, passing: bool = False) -> Kept:
        """One version of every recording, as `Store.view` has it."""
        return self._encoded(f"view {number}", lambda: self._store.view(number, passing))

    def pieces(self) -> Kept:
        """Every recording in pieces that the network takes."""
        return self._encoded("pieces", self._store.pieces)

    def _encoded(self, name: str, features: Callable[[], Kept]) -> Kept:
        if name not in self._found:
            self._found[name] = self._encode(features())
        return self._found[name]

    @torch.inference_mode()
    def _encode(self, kept: Kept) -> Kept:
        """Each piece as `forward_frozen` encodes it, in the order of the pieces."""
        device = next(self._network.parameters()).device
        found: list[torch.Tensor] = [torch.empty(0)] * len(kept.ends)
        for numbers, features in kept.batches(np.arange(len(kept.ends)), device):
            values, frames = self._network.forward_frozen(features)
            for number, value, count in zip(numbers, values.cpu(), frames.tolist(), strict=True):
                found[number] = value[:, :count].T.contiguous()
        ends = np.cumsum([len(each) for each in found])
        return Kept(torch.cat(found).numpy(), ends, kept.owners, kept.weights, kept.durations_s)

"""What an encoder that has just learned hears of every recording: kept views, lifted by it.

A fold's own encoder would need features of its own, computed from samples again. What the front
end gives is the same for all folds; the encoder works on that, and its results stay in memory.
"""

from collections.abc import Callable

import numpy as np
import torch

from batch_ser.features import pad
from models.network import Network
from train.store import Kept, Store

AT_ONCE = 32


class Lifted:
    """A store's views and pieces, taken through the frozen part of a network."""

    def __init__(self, below: Store, network: Network) -> None:
        self._below = below
        self._network = network.eval()
        self._found: dict[str, Kept] = {}
        self.picture = below.picture  # of the front end: more than a column of statistics

    def view(self, number: int, passing: bool = False) -> Kept:
        """One version of every recording, as `Store.view` gives it."""
        return self._lifted(f"view {number}", lambda: self._below.view(number, passing))

    def pieces(self) -> Kept:
        """Every recording in pieces that the network takes."""
        return self._lifted("pieces", self._below.pieces)

    def _lifted(self, name: str, below: Callable[[], Kept]) -> Kept:
        if name not in self._found:
            self._found[name] = self._through(below())
        return self._found[name]

    @torch.inference_mode()
    def _through(self, kept: Kept) -> Kept:
        """Each piece as `lower` gives it, in the order of the pieces."""
        device = next(self._network.parameters()).device
        lengths = np.diff(kept.ends, prepend=0)
        found: list[torch.Tensor] = [torch.empty(0)] * len(lengths)
        order = np.argsort(lengths, kind="stable")
        for first in range(0, len(order), AT_ONCE):
            numbers = order[first : first + AT_ONCE]
            features = pad([kept.piece(int(number)) for number in numbers], device)
            values, frames = self._network.lower(features)
            for number, value, count in zip(numbers, values.cpu(), frames.tolist(), strict=True):
                found[number] = value[:, :count].T.contiguous()
        ends = np.cumsum([len(each) for each in found])
        return Kept(torch.cat(found).numpy(), ends, kept.owners, kept.weights)

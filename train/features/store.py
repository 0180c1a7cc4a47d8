"""Features of every recording: views of it to train on, pieces of it to validate by.

Both are computed once, by all cores, and cached on disk (`--cache DIR`, else in a folder that is
deleted after the training). They depend on a recording's content, its view and the settings, not on
the seed or the fold, so that all folds and seeds share them.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from batch_ser import FEATURES_VERSION
from batch_ser.audio import Samples
from batch_ser.features import Features, FrontEnd, front_end
from batch_ser.segments import in_pieces
from models.device import has_bfloat16
from models.network import Network
from train.augmentation import Voices, babblers, change_samples
from train.data import Utterance, load_utterance
from train.features.cached import CachedFeatures, Piece, cached
from train.progress import every_s
from train.recipes import Recipe

CPU = torch.device("cpu")
# a recording's samples and number -> the pieces whose features are computed
Cutter = Callable[[Samples, int], Sequence[Samples]]


class Store:
    """Features of a set of recordings for one network's frozen part."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        utterances: Sequence[Utterance],
        contents: Sequence[str],
        folder: Path,
        scratch: Path | None = None,  # for what is cached for a while; none: the same folder
        never_tested: NDArray[np.bool_] | None = None,  # recordings that may be babble
    ) -> None:
        self._network = network.eval()
        self._recipe = recipe
        self._utterances = utterances
        self._contents = contents
        self._folder = folder
        self._scratch = scratch or folder
        self._never_tested = never_tested
        self._babblers = babblers(utterances, never_tested)
        settings = dict(network.front_end_settings) | recipe.front_end
        self._front_end: FrontEnd = front_end(network.front_end, settings)
        self._most = round(network.max_input_s * network.rate_hz)
        crop_s = min(recipe.crop_s or network.max_input_s, network.max_input_s)
        self._crop = round(crop_s * network.rate_hz)
        frozen = _frozen_digest(network)
        # what all features depend on: the front end and its settings, the frozen part's weights
        self.key = repr((FEATURES_VERSION, network.front_end, settings, frozen))
        device = next(network.parameters()).device
        mixed = recipe.optimisation.precision == "mixed" and has_bfloat16(device)
        self._mixed = bool(frozen) and mixed  # views alone: pieces are in float32

    def with_network(self, network: Network) -> "Store":
        """The same recordings and recipe for another network."""
        return Store(
            network,
            self._recipe,
            self._utterances,
            self._contents,
            self._folder,
            self._scratch,
            self._never_tested,
        )

    def view(self, number: int, *, temporary: bool = False) -> CachedFeatures:
        """One version of every recording: the first as it is, later ones augmented, cropped.

        A temporary one is not cached for other trainings.
        """

        def cut(samples: Samples, recording: int) -> Sequence[Samples]:
            return [self._changed(samples, recording, number)]

        recipe = self._recipe
        changes = recipe.augmentation.of_samples() if number else recipe.augmentation.pad
        what = repr((number, recipe.crop, self._crop, changes) + ("bfloat16",) * self._mixed)
        if number and recipe.augmentation.babble_snr_db:
            what += "".join(self._contents[row] for rows in self._babblers.values() for row in rows)
        folder = self._scratch if temporary else self._folder
        return self._cached(f"view {number}", what, cut, folder, mixed=self._mixed)

    def pieces(self) -> CachedFeatures:
        """Every recording in pieces that the network takes, as a job scores it."""

        def cut(samples: Samples, _: int) -> Sequence[Samples]:
            spans = in_pieces(0, samples, self._most)
            return [span.samples for span in spans if span.samples is not None]

        return self._cached("pieces", f"pieces {self._most}", cut, self._folder)

    def front_end_view(self, recording: int, number: int) -> torch.Tensor:
        """The front end's features of a view of one recording (bands, frames)."""
        samples = load_utterance(self._utterances[recording], self._network.rate_hz)
        return self.front_end_features(self._changed(samples, recording, number)).values[0]

    def front_end_features(self, samples: Samples) -> Features:
        """The front end's features of samples, without those of the frozen part."""
        return self._front_end([samples], CPU)

    def _changed(self, samples: Samples, recording: int, number: int) -> Samples:
        """A recording's samples in a view; drawn from its content and the view's number alone."""
        recipe = self._recipe
        draw = np.random.default_rng((int(self._contents[recording][:12], 16), number))
        if number:
            voices = self._voices(self._utterances[recording].corpus)
            samples = change_samples(
                samples, self._network.rate_hz, recipe.augmentation, draw, voices
            )
        return _cropped(samples, self._crop, recipe.crop, draw, pad=recipe.augmentation.pad)

    def _voices(self, corpus: str) -> Voices | None:
        """Voices of the babble behind a corpus's speakers; None: the recording's own."""
        rows = self._babblers.get(corpus, ())
        if not len(rows):
            return None
        rate_hz = self._network.rate_hz
        return lambda draw, count: [
            load_utterance(self._utterances[row], rate_hz) for row in draw.choice(rows, count)
        ]

    def _cached(
        self, title: str, what: str, cut: Cutter, folder: Path, *, mixed: bool = False
    ) -> CachedFeatures:
        """Features by all that they depend on: the front end, the recordings, and `what`."""
        whole = "\n".join([self.key, what, *self._contents])
        path = folder / hashlib.sha256(whole.encode()).hexdigest()[:32]
        return cached(path, self._network.rate_hz, lambda: self._computed(title, cut, mixed=mixed))

    def _computed(self, title: str, cut: Cutter, *, mixed: bool) -> Iterator[list[Piece]]:
        """Each recording's pieces."""
        device = next(self._network.parameters()).device

        def pieces(recording: int) -> list[Piece]:
            samples = load_utterance(self._utterances[recording], self._network.rate_hz)
            found, left = [], len(samples)
            for part in cut(samples, recording):
                with (
                    torch.inference_mode(),  # a training may have moved the network to a GPU
                    torch.autocast(device.type, torch.bfloat16, enabled=mixed),
                ):
                    features = self._network.forward_frozen(self._front_end([part], device))
                values = features.values[0].float().cpu().numpy()
                found.append(Piece(values, len(part), max(1, min(left, len(part)))))
                left -= len(part)
            return found

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            done = pool.map(pieces, range(len(self._utterances)))
            yield from tqdm(
                done, f"features, {title}", len(self._utterances), mininterval=every_s()
            )


def _cropped(
    samples: Samples, most: int, crop: str, draw: np.random.Generator, *, pad: bool
) -> Samples:
    """At most `most` samples; with `pad`, exactly as many, silence before and behind."""
    spare = len(samples) - most
    if spare > 0:
        first = {"start": 0, "centre": spare // 2, "random": int(draw.integers(spare + 1))}[crop]
        return samples[first : first + most]
    if pad and spare < 0:
        before = int(draw.integers(-spare + 1))
        return np.pad(samples, (before, -spare - before))
    return samples


def _frozen_digest(network: Network) -> str:
    """Of the settings and weights of the frozen part; empty where there is none."""
    if all(parameter.requires_grad for parameter in network.parameters()):
        return ""
    digest = hashlib.sha256(repr(network.frozen_settings()).encode())
    for name, parameter in sorted(network.named_parameters()):
        if not parameter.requires_grad:
            digest.update(name.encode() + parameter.detach().numpy().tobytes())
    return digest.hexdigest()

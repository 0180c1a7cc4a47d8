"""Features of every recording: views of it to train on, pieces of it to judge by.

Both are computed once, by all cores, and kept on disk (`--cache DIR`, else in a folder that goes
with the training). They depend on a recording's content, its view and the settings, not on the
seed or the fold, so that every fold and seed of a study shares them.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from batch_ser import FEATURES_VERSION
from batch_ser.audio import Samples, load
from batch_ser.features import Features, FrontEnd, front_end, pad
from batch_ser.segments import in_pieces
from models.batching import batches
from models.device import has_bfloat16
from models.network import Network
from train.augmentation import Voices, babblers, change_samples
from train.data import Utterance
from train.progress import every_s
from train.recipes import Recipe

CPU = torch.device("cpu")
AT_ONCE = 32  # of the longest pieces, in a batch
Piece = tuple[NDArray[np.float32], int, int]  # features (bands, frames), samples, new samples
Heard = Callable[[Samples, int], Sequence[Samples]]  # a recording, its number -> what is heard


@dataclass(frozen=True)
class Kept:
    """Features of pieces, one behind the other, and to which recording each belongs."""

    frames: NDArray[np.float32]  # (all frames, bands), mapped from disk
    ends: NDArray[np.int64]  # (pieces,)
    owners: NDArray[np.int64]  # (pieces,): the recording's number
    weights: NDArray[np.int64]  # (pieces,): new samples, for the mean over a recording's pieces
    durations_s: NDArray[np.float64]  # (pieces,): of the samples that the features are of
    files: tuple[Path, ...] = ()

    def length(self, number: int) -> int:
        """Frames of one piece."""
        return int(self.ends[number] - (self.ends[number - 1] if number else 0))

    def piece(self, number: int) -> torch.Tensor:
        """One piece's features (bands, frames)."""
        start = self.ends[number - 1] if number else 0
        return torch.from_numpy(np.array(self.frames[start : self.ends[number]].T))

    def batches(
        self, numbers: NDArray[np.int64], device: torch.device
    ) -> Iterator[tuple[NDArray[np.int64], Features]]:
        """Some pieces in batches of similar length: their numbers and their features."""
        lengths = np.diff(self.ends, prepend=0)[numbers]
        for rows in batches(lengths, AT_ONCE * lengths.max(initial=1)):
            chosen = numbers[rows]
            yield chosen, pad([self.piece(int(number)) for number in chosen], device)

    def remove(self) -> None:
        """Delete what is on disk."""
        for file in self.files:
            file.unlink(missing_ok=True)


class Store:
    """Features of a set of recordings for one network's frozen part."""

    def __init__(
        self,
        network: Network,
        recipe: Recipe,
        utterances: Sequence[Utterance],
        contents: Sequence[str],
        folder: Path,
        scratch: Path | None = None,  # for what is not kept; none: the same folder
        heard_always: NDArray[np.bool_] | None = None,  # what no fold tests may be babble
    ) -> None:
        self._network = network.eval()
        self._recipe = recipe
        self._utterances = utterances
        self._contents = contents
        self._folder = folder
        self._scratch = scratch or folder
        self._heard_always = heard_always
        self._babblers = babblers(utterances, heard_always)
        settings = dict(network.front_end_settings) | recipe.front_end
        self._front_end: FrontEnd = front_end(network.front_end, settings)
        self._most = round(network.max_input_s * network.rate_hz)
        crop_s = min(recipe.crop_s or network.max_input_s, network.max_input_s)
        self._crop = round(crop_s * network.rate_hz)
        frozen = _frozen_digest(network)
        # what is heard with: the front end and its settings, the frozen part and its weights
        self.key = repr((FEATURES_VERSION, network.front_end, settings, frozen))
        able = recipe.precision == "mixed" and has_bfloat16(next(network.parameters()).device)
        self._mixed = bool(frozen) and able  # views only: what is judged is in float32

    def of(self, network: Network, recipe: Recipe | None = None) -> "Store":
        """The same recordings for another network, and another recipe, kept in the same places."""
        return Store(
            network, recipe or self._recipe, self._utterances, self._contents, self._folder,
            self._scratch, self._heard_always,
        )  # fmt: skip

    def view(self, number: int, passing: bool = False) -> Kept:
        """One version of every recording: the first as it is, later ones augmented, cropped.

        One in `passing` is not kept for others.
        """

        def heard(samples: Samples, recording: int) -> Sequence[Samples]:
            return [self._changed(samples, recording, number)]

        recipe = self._recipe
        augment = recipe.augment.of_samples() if number else recipe.augment.pad
        what = repr((number, recipe.crop, self._crop, augment) + ("bfloat16",) * self._mixed)
        if number and recipe.augment.babble_snr_db:
            what += "".join(self._contents[row] for rows in self._babblers.values() for row in rows)
        folder = self._scratch if passing else self._folder
        return self._keep(f"view {number}", what, heard, folder, self._mixed)

    def picture(self, recording: int, number: int) -> torch.Tensor:
        """What the front end makes of a view of one recording (bands, frames)."""
        samples = load_utterance(self._utterances[recording], self._network.rate_hz)
        return self.hear(self._changed(samples, recording, number)).values[0]

    def hear(self, samples: Samples) -> Features:
        """What the front end makes of samples."""
        return self._front_end([samples], CPU)

    def _changed(self, samples: Samples, recording: int, number: int) -> Samples:
        """A recording's samples in a view; drawn from its content and the view's number alone."""
        recipe = self._recipe
        draw = np.random.default_rng((int(self._contents[recording][:12], 16), number))
        if number:
            voices = self._voices(self._utterances[recording].corpus)
            samples = change_samples(samples, self._network.rate_hz, recipe.augment, draw, voices)
        return _cropped(samples, self._crop, recipe.crop, recipe.augment.pad, draw)

    def _voices(self, corpus: str) -> Voices | None:
        """Who babbles behind a corpus's speakers; none: they themselves."""
        rows = self._babblers.get(corpus, ())
        if not len(rows):
            return None
        rate_hz = self._network.rate_hz
        return lambda draw, count: [
            load_utterance(self._utterances[row], rate_hz) for row in draw.choice(rows, count)
        ]

    def pieces(self) -> Kept:
        """Every recording in pieces that the network takes, as a job scores it."""

        def heard(samples: Samples, _: int) -> Sequence[Samples]:
            spans = in_pieces(0, samples, self._most)
            return [span.samples for span in spans if span.samples is not None]

        return self._keep("pieces", f"pieces {self._most}", heard, self._folder)

    def _keep(self, title: str, what: str, heard: Heard, folder: Path, mixed: bool = False) -> Kept:
        whole = "\n".join([self.key, what, *self._contents])
        path = folder / hashlib.sha256(whole.encode()).hexdigest()[:32]
        files = index, data = path.with_suffix(".npy"), path.with_suffix(".f32")
        if not _complete(index, data):
            self._write(data, index, self._computed(title, heard, mixed))
        table = np.load(index)
        frames = np.memmap(data, np.float32, "r").reshape(-1, int(table[0, 3]))
        durations_s = table[:, 4] / self._network.rate_hz
        return Kept(frames, table[:, 0], table[:, 1], table[:, 2], durations_s, files)

    def _write(self, data: Path, index: Path, computed: Iterable[list[Piece]]) -> None:
        """Compute and write; the index is written last and makes it complete."""
        data.parent.mkdir(parents=True, exist_ok=True)
        rows: list[tuple[int, int, int, int, int]] = []
        end = 0
        partial = data.with_name(f"{data.name}.{os.getpid()}")
        with partial.open("wb") as file:
            for recording, pieces in enumerate(computed):
                for features, count, weight in pieces:
                    end += features.shape[1]
                    rows.append((end, recording, weight, features.shape[0], count))
                    file.write(np.ascontiguousarray(features.T).tobytes())
        partial.replace(data)
        with index.with_suffix(f".{os.getpid()}").open("wb") as file:
            np.save(file, np.array(rows, np.int64))
        index.with_suffix(f".{os.getpid()}").replace(index)

    def _computed(self, title: str, heard: Heard, mixed: bool) -> Iterator[list[Piece]]:
        """Of each recording, its pieces' features (bands, frames) and numbers of samples."""
        device = next(self._network.parameters()).device

        def one(recording: int) -> list[Piece]:
            samples = load_utterance(self._utterances[recording], self._network.rate_hz)
            found, left = [], len(samples)
            for piece in heard(samples, recording):
                with (
                    torch.inference_mode(),  # a training may have moved the network to a GPU
                    torch.autocast(device.type, torch.bfloat16, enabled=mixed),
                ):
                    features = self._network.forward_frozen(self._front_end([piece], device))
                values = features.values[0].float().cpu().numpy()
                found.append((values, len(piece), max(1, min(left, len(piece)))))
                left -= len(piece)
            return found

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            done = pool.map(one, range(len(self._utterances)))
            yield from tqdm(
                done, f"features, {title}", len(self._utterances), mininterval=every_s()
            )


def _complete(index: Path, data: Path) -> bool:
    """Whether both files are there, and whole: a disk may have been full, a version older."""
    try:
        table = np.load(index)
        size = 4 * int(table[-1, 0]) * int(table[0, 3])
        return table.shape[1] == 5 and data.stat().st_size == size
    except (OSError, ValueError, EOFError, IndexError):
        return False


def load_utterance(utterance: Utterance, rate_hz: int) -> Samples:
    """A recording, or its given segment, mixed to mono at a rate."""
    samples = load(str(utterance.path), rate_hz)
    if utterance.start_s is None or utterance.end_s is None:
        return samples
    return samples[round(utterance.start_s * rate_hz) : round(utterance.end_s * rate_hz)]


def _cropped(
    samples: Samples, most: int, crop: str, pad: bool, draw: np.random.Generator
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
    """Of the frozen part, on which what is kept depends: its settings and its weights."""
    if all(parameter.requires_grad for parameter in network.parameters()):
        return ""
    digest = hashlib.sha256(repr(network.frozen_settings()).encode())
    for name, parameter in sorted(network.named_parameters()):
        if not parameter.requires_grad:
            digest.update(name.encode() + parameter.detach().numpy().tobytes())
    return digest.hexdigest()

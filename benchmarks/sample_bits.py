"""What segments lose as integers of 16 bits, before they are sent to a scorer.

`python benchmarks/sample_bits.py` writes the section "Samples of 16 bits" of docs/results.md, in a
minute; it needs corpora below BATCH_SER_SHARED. Segments of real recordings are scored as they are
and rounded to 16 bits, by full scale and by each segment's own peak; also 50 dB quieter.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from results import SHARED, write_section

from batch_ser.audio import Samples, load
from batch_ser.errors import FileError
from models import load_checkpoint
from models.loading import shipped_checkpoints

RECORDINGS, SEGMENT_S, RATE_HZ = 120, 4, 16_000
SUFFIXES = {".wav", ".flac", ".mp3", ".opus", ".ogg"}
QUIET = 10 ** (-50 / 20)
STEPS = 32_768


def segments() -> Iterator[Samples]:
    """Up to two of each recording."""
    paths = sorted(path for path in (SHARED / "data").rglob("*") if path.suffix in SUFFIXES)
    for path in random.Random(1).sample(paths, RECORDINGS):
        try:
            samples = load(str(path), RATE_HZ)
        except FileError:
            continue
        length = SEGMENT_S * RATE_HZ
        for start in range(0, min(len(samples), 2 * length), length):
            part = samples[start : start + length]
            if len(part) > RATE_HZ / 2 and part.any():
                yield part


def rounded(samples: Samples, peak: float) -> Samples:
    """Samples as multiples of a step, so that the peak is the last of 16 bits."""
    step = np.float32(peak / STEPS)
    return np.clip(np.rint(samples / step), -STEPS, STEPS - 1).astype(np.float32) * step


def main() -> None:
    parts = list(segments())
    lines = [
        f"{len(parts)} segments of {RECORDINGS} recordings: the largest difference of a",
        "probability from that of the samples as they are, in float32.",
        "",
        "| checkpoint | steps by | as recorded: median, largest | 50 dB quieter: median, largest |",
        "|---|---|---|---|",
    ]
    for model in shipped_checkpoints():
        checkpoint = load_checkpoint(model)
        for name in ("full scale", "the segment's peak"):
            cells = []
            for gain in (1.0, QUIET):
                found = []
                for part in parts:
                    quiet = part * np.float32(gain)
                    peak = 1.0 if name == "full scale" else float(np.abs(quiet).max())
                    scores = checkpoint.score_all([quiet, rounded(quiet, peak)])
                    found.append(np.abs(scores[0] - scores[1]).max())
                cells.append(f"{np.median(found):.1g}, {max(found):.1g}")
            lines.append(f"| {model} | {name} | {' | '.join(cells)} |")
    lines += ["", "The contract is 1e-4: segments are sent to scorers in float32."]
    write_section("Samples of 16 bits", f"python benchmarks/{Path(__file__).name}", lines)


if __name__ == "__main__":
    main()

"""Accuracy of the recipes on held-out speakers: `make evaluate` writes it to docs/results.md."""

import csv
import sys
import tempfile
from pathlib import Path

from results import SHARED, write_section

from models.checkpoint import read_info
from train.run import TrainConfig, train


def published() -> list[str]:
    """The best of the ten models of the EmoBox table on RAVDESS."""
    with (SHARED / "benchmarks" / "emobox_results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] == "ravdess"]
    best = max(rows, key=lambda row: float(row["ua"]))
    return [
        f"Beside it, the best of the ten models in EmoBox's table: {best['model']} "
        f"({best['parameters_millions']} M parameters), UAR {best['ua']} %, WA {best['wa']} %, "
        f"macro F1 {best['f1']} %. Only the training side is also played at 0.9 and 1.1 speed."
    ]


def main() -> None:
    data = SHARED / "data" / "ravdess"
    if not data.is_dir():
        sys.exit(f"no corpora at {SHARED}: set BATCH_SER_SHARED")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "whisper-frozen.safetensors"
        folds = f"emobox:{SHARED / 'benchmarks' / 'emobox_folds.json'}"
        train(TrainConfig((f"ravdess:{data}",), "whisper-frozen", str(out), split=folds))
        figures = read_info(out).metrics
    names = list(figures["mean"])
    lines = [f"| fold | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for fold, values in figures.items():
        lines.append(f"| {fold} | {' | '.join(f'{100 * values[name]:.1f}' for name in names)} |")
    title = "RAVDESS, EmoBox's six speaker-independent folds, in percent"
    write_section(f"{title}: whisper-frozen", "make evaluate", [*lines, "", *published()])


if __name__ == "__main__":
    main()

"""The labeller's loop on a corpus that the checkpoint never met: is its head better afterwards?

nEMO is a user's archive, scored with the shipped recipe's head made without it. A sample goes to
Label Studio, an annotator who knows the truth labels the clips of six speakers and skips those of
three, the export comes back, the head is moved, and the archive is scored again. The labels of the
three judge both outputs. Every step is the command that a user gives.

`python benchmarks/label_loop.py RECIPE` writes a section of docs/results.md.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from heads import WORK, Heads, utterances_of
from results import write_section
from trained import DATA, NEMO, require_corpora

from jobs.label_tables import COLUMNS
from models.loading import SHIPPED

FOLDER = WORK / "label_loop"
ARCHIVE = DATA / "nemo"
TASKS, JUDGED_SPEAKERS = 300, 3  # of nine speakers: about 200 are labelled
THREADS = 2


def step(*command: object) -> float:
    """A command in the folder; returns its wall time."""
    began = time.monotonic()
    program = [sys.executable, "-c", "from jobs.cli import app; app()", *map(str, command)]
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(program, cwd=FOLDER, env=os.environ | {"PYTHONPATH": path}, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"{command[0]} ended with {done.returncode}")
    return time.monotonic() - began


def annotate(labels: dict[str, str], judged: set[str]) -> int:
    """The export of an annotator who knows the truth, and skips judged speakers."""
    tasks, labelled = json.loads((FOLDER / "sample" / "tasks.json").read_text()), 0
    config = (FOLDER / "sample" / "config.xml").read_text()
    name = config.split("<Choices name=")[1].split('"')[1]
    target = config.split("<Audio name=")[1].split('"')[1]
    with (FOLDER / "sample" / "sample.csv").open(newline="", encoding="utf-8-sig") as file:
        files = {row["clip"]: row["file"] for row in csv.DictReader(file)}
    for number, task in enumerate(tasks, 1):
        [recording] = [file for clip, file in files.items() if clip in str(task["data"])]
        skipped = recording.split("_")[0] in judged
        choice = {"choices": [labels[recording]]}
        result = {"from_name": name, "to_name": target, "type": "choices", "value": choice}
        answer = {
            "completed_by": 1,
            "was_cancelled": skipped,
            "result": [] if skipped else [result],
        }
        task |= {"id": number, "annotations": [answer]}
        labelled += not skipped
    (FOLDER / "sample" / "export.json").write_text(json.dumps(tasks))
    return labelled


def write_truth(results: Path, labels: dict[str, str], judged: set[str]) -> int:
    """Labels of all segments of the judged speakers."""
    rows = pd.read_parquet(results)
    rows = rows[[name.split("_")[0] in judged for name in rows["file"]]]
    with (FOLDER / "truth.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows.itertuples():
            where = (row.file, row.channel, row.start_s, row.end_s, row.segment)
            writer.writerow([*where, labels[str(row.file)], "truth", ""])
    return len(rows)


def uar(folder: str) -> tuple[float, float, float]:
    """UAR of a judgement and its interval, in percent."""
    found = json.loads((FOLDER / folder / "metrics.json").read_text())["headline"]["uar"]
    return 100 * found["value"], 100 * found["low"], 100 * found["high"]


def main(recipe: str) -> None:
    """The loop, step by step."""
    require_corpora()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    heads = Heads(recipe, SHIPPED / f"{recipe}.safetensors")
    model = heads.without_corpus("nemo").save(FOLDER / "start.safetensors").name
    labels = {each.path.name: each.label for each in utterances_of(NEMO)}
    speakers = sorted({name.split("_")[0] for name in labels})
    judged = set(np.random.default_rng(0).permutation(speakers)[:JUDGED_SPEAKERS].tolist())
    archive, balanced = ARCHIVE.resolve(), ("--expect", "balanced", "--workers", THREADS)
    times = {
        "run": step("run", "--input", archive, "--out", "a.parquet", "--model", model, *balanced),
        "sample": step(
            *("sample", "a.parquet", "--n", TASKS, "--to", "label-studio"),
            *("--dest", "sample", "--audio", archive),
        ),
    }
    labelled = annotate(labels, judged)
    export = ("sample/export.json", "--results", "a.parquet", "--dest", "labels.csv")
    times["import-labels"] = step("import-labels", *export)
    given = ("--embeddings", "a.parquet", "--data", "manifest:labels.csv")
    times["train"] = step(
        "train", "--recipe", "head", "--init", model, *given, "--out", "mine.safetensors"
    )
    times["run again"] = step(
        "run", "--input", archive, "--out", "b.parquet", "--model", "mine.safetensors", *balanced
    )
    segments = write_truth(FOLDER / "a.parquet", labels, judged)
    for name in ("a", "b"):
        step("judge", f"{name}.parquet", "--labels", "truth.csv", "--dest", f"judged-{name}")
    lines = [
        f"| checkpoint | UAR, %, of {segments:,} segments of {JUDGED_SPEAKERS} speakers |",
        "|---|---|",
    ]
    for title, name in ((f"`{recipe}` without nEMO", "a"), (f"moved by {labelled} labels", "b")):
        value, low, high = uar(f"judged-{name}")
        lines.append(f"| {title} | {value:.1f} [{low:.1f}, {high:.1f}] |")
    spent = ", ".join(f"`{name}` {seconds:.0f}" for name, seconds in times.items())
    lines += ["", f"Seconds of each command, with Ray on {THREADS} cores: {spent}."]
    write_section(
        f"The labeller's loop, {recipe}", f"python benchmarks/label_loop.py {recipe}", lines
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "accurate")

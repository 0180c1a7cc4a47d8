"""A run's folder: taken for one training, known again when it goes on, never taken from others."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batch_ser.errors import UsageError
from train.recipes import Recipe

SUFFIX = ".safetensors"
CHECKPOINT, STATE, HISTORY = "checkpoint.safetensors", "state.safetensors", "history.csv"
AGAIN = "again.safetensors"  # the state of a second fit, on the valid side, too
DISTILLED = "distilled.safetensors"  # the state of a student's encoder
CONFIG, SPLIT = "config.json", "split.json"
# of config.json, on which a result depends
PARTS = ("training", "recipe", "recordings", "init")
FREE = ("out", "cache", "restart", "figures_only")  # may change when a training goes on
MOST_NAMED = 5
EVALUATION_FILES = (
    "metrics.json",
    "report.txt",
    "confusion.png",
    "reliability.png",
    "predictions.parquet",
)
WRITTEN = {
    *EVALUATION_FILES, CONFIG, SPLIT, CHECKPOINT, STATE, f"{STATE}.partial", AGAIN,
    f"{AGAIN}.partial", DISTILLED, f"{DISTILLED}.partial", HISTORY,
    "checkpoint.md", "curves.png", "examples.png", "figures.json",
}  # fmt: skip


def claim(folder: Path, out: str, content: dict[str, Any], restart: bool) -> None:
    """Take the run's folder and write `config.json`; what holds something else is refused.

    Raises:
        UsageError: the folder, or the checkpoint that `--out` names, is not this training's.
    """
    earlier = _earlier(folder)
    target = Path(out)
    if earlier is None and folder.exists() and (folder.is_file() or any(folder.iterdir())):
        raise UsageError(
            f"--out {out}: {folder} is not the folder of a training; expected a new one, "
            "or one that an earlier training wrote"
        )
    if earlier is None and target.suffix == SUFFIX and target.exists():
        raise UsageError(
            f"--out {out}: there is such a file, and no {folder} of the training that wrote it; "
            "give another name, or take the file away"
        )
    if earlier is not None and restart:
        _clear(folder)
    elif earlier is not None:
        changed = _changed(earlier, json.loads(json.dumps(content)))
        if changed:
            rest = len(changed) - MOST_NAMED
            named = ", ".join(changed[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
            raise UsageError(
                f"--out {out}: {folder} holds a training with other settings ({named}); give "
                "another --out, or --restart to begin again"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror}") from error


def _earlier(folder: Path) -> dict[str, Any] | None:
    """What `config.json` says of the training in a folder; None where there is none of ours."""
    try:
        found = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError):
        return None
    ours = isinstance(found, dict) and {"training", "recipe", "recordings"} <= found.keys()
    return found if ours else None


def _clear(folder: Path) -> None:
    """Delete what a training wrote, in its folder and those of its folds, and nothing else."""
    for each in sorted(folder.iterdir()):
        mine = fold_number(each) and not (each / CONFIG).exists()  # else another training's
        if mine and each.is_dir() and not each.is_symlink():
            _clear(each)
            if not any(each.iterdir()):
                each.rmdir()
        elif each.name in WRITTEN and not each.is_dir():
            each.unlink()


def _changed(earlier: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs, of everything that a training's result depends on."""
    changed = []
    for part in PARTS:
        before, after = earlier.get(part), now[part]
        if part in ("recordings", "init"):
            changed += [part] * (before != after)
        else:
            found = other_settings(before if isinstance(before, dict) else {}, after)
            changed += [key for key in found if not (part == "training" and key in FREE)]
    return list(dict.fromkeys(changed))


def other_settings(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Which settings of a training or a recipe, as JSON keeps them, are not what they were."""
    before = _of_then(before, after)
    return [key for key in after if before.get(key) != after[key]]


def _of_then(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Earlier settings, with those that the program did not have yet as it was without them."""
    plain = json.loads(json.dumps(Recipe("", "").stored()))
    lacking = after.keys() - before.keys() - plain.keys()
    new = {key: after[key] for key in lacking if not after[key]}
    return _completed(new | before, {key: plain[key] for key in after.keys() & plain.keys()})


def _completed(before: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Earlier settings, of which those that are lacking have the values of `plain`."""
    found = plain | before
    for key, value in plain.items():
        earlier = found[key] or {}
        if isinstance(value, dict) and isinstance(earlier, dict):
            found[key] = _completed(earlier, value)
    return found


def digest_of(init: str | None) -> str | None:
    """SHA-256 of what `--init` names: a file, or the configuration and weights of a folder."""
    if init is None:
        return None
    path = Path(init)
    files = [path] if path.is_file() else sorted([*path.glob("*.json"), *path.glob("*" + SUFFIX)])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def fold_folders(folder: Path, names: Sequence[str]) -> list[Path]:
    """Where each fold goes: the run's folder itself, or one below it for each of several.

    Folds may be named after speakers, who may be called anything: their number comes first.
    """
    if len(names) == 1:
        return [folder]
    return [
        folder / (f"fold-{number}" if name == f"fold {number}" else f"{number}-{_safe(name)}")
        for number, name in enumerate(names, 1)
    ]


def fold_number(folder: Path) -> int | None:
    """Which fold a folder of `fold_folders` is of; None where its name is none of theirs."""
    found = re.match(r"(?:fold-([1-9]\d*)$|([1-9]\d*)-)", folder.name)
    return int(found[1] or found[2]) if found else None


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", name)[:60].strip("-")

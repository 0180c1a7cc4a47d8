"""A run's folder: claimed by one training, recognised when that goes on, refused to others."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from batch_ser.errors import UsageError
from train.recipes import Recipe

SUFFIX = ".safetensors"
CHECKPOINT, STATE, HISTORY = "checkpoint.safetensors", "state.safetensors", "history.csv"
REFIT_STATE = "again.safetensors"  # of a second fit, on train and valid
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
STATES = (STATE, REFIT_STATE, DISTILLED)
WRITTEN = {
    *EVALUATION_FILES,
    *STATES,
    *(f"{name}.partial" for name in STATES),
    CONFIG,
    SPLIT,
    CHECKPOINT,
    HISTORY,
    "checkpoint.md",
    "curves.png",
    "examples.png",
    "figures.json",
}


def claim(folder: Path, out: str, content: dict[str, Any], *, restart: bool) -> None:
    """Make the run's folder and write `config.json`; a folder with other content is refused.

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
        _check_same_training(folder, out, earlier, json.loads(json.dumps(content)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror}") from error


def _earlier(folder: Path) -> dict[str, Any] | None:
    """The content of `config.json`, by which a folder is one of a training; else None."""
    try:
        found = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError):
        return None
    complete = isinstance(found, dict) and {"training", "recipe", "recordings"} <= found.keys()
    return found if complete else None


def _clear(folder: Path) -> None:
    """Delete what a training wrote, in its folder and those of its folds, and nothing else."""
    for each in sorted(folder.iterdir()):
        of_fold = fold_number(each) and not (each / CONFIG).exists()  # else another training's
        if of_fold and each.is_dir() and not each.is_symlink():
            _clear(each)
            if not any(each.iterdir()):
                each.rmdir()
        elif each.name in WRITTEN and not each.is_dir():
            each.unlink()


def _check_same_training(
    folder: Path, out: str, earlier: dict[str, Any], now: dict[str, Any]
) -> None:
    """Refuse to go on with a training of which anything that its result depends on differs."""
    changed = []
    for part in PARTS:
        before, after = earlier.get(part), now[part]
        if part in ("recordings", "init"):
            changed += [part] * (before != after)
        else:
            names = other_settings(before if isinstance(before, dict) else {}, after)
            changed += [name for name in names if not (part == "training" and name in FREE)]
    changed = list(dict.fromkeys(changed))
    if changed:
        rest = len(changed) - MOST_NAMED
        named = ", ".join(changed[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        raise UsageError(
            f"--out {out}: {folder} holds a training with other settings ({named}); give "
            "another --out, or --restart to begin again"
        )


def other_settings(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of settings of a training or a recipe, as JSON holds them, that differ.

    A setting that `before` lacks, since its version did not have it, has its default there; one
    that `after` lacks is another setting.
    """
    defaults = json.loads(json.dumps(Recipe("", "").stored()))
    plain = dict(_flat(defaults, defaults))
    earlier, now = (dict(_flat(each, defaults)) for each in (before, after))
    for name in now.keys() - earlier.keys():
        default = plain.get(name)
        earlier[name] = now[name] if default is None and not now[name] else default
    return [name for name in now | earlier if earlier[name] != now.get(name)]


def _flat(
    settings: dict[str, Any], groups: dict[str, Any], before: str = ""
) -> Iterator[tuple[str, Any]]:
    """Names and values of settings, those in groups of a recipe as `group.name`."""
    for name, value in settings.items():
        group = groups.get(name)
        if isinstance(value, dict) and isinstance(group, dict) and group:
            yield from _flat(value, group, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def digest_of(init: str | None) -> str | None:
    """SHA-256 of `--init`: of a file, or of the configuration and weights in a folder."""
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
    """The folder of each fold: the run's own, or one below it for each of several.

    Folds may have speakers' names, which may be anything: their number comes first.
    """
    if len(names) == 1:
        return [folder]
    return [
        folder / (f"fold-{number}" if name == f"fold {number}" else f"{number}-{_safe(name)}")
        for number, name in enumerate(names, 1)
    ]


def fold_number(folder: Path) -> int | None:
    """The number of the fold of a folder of `fold_folders`; None for any other folder."""
    found = re.match(r"(?:fold-([1-9]\d*)$|([1-9]\d*)-)", folder.name)
    return int(found[1] or found[2]) if found else None


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", name)[:60].strip("-")

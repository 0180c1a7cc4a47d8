"""What a training leaves: its settings, and the checkpoint with its figures and its card."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from models.checkpoint import save_checkpoint
from models.loading import load_network
from train.data import Data
from train.evaluation import COMPARISON, card, versions
from train.fitting import init_path, is_calibrated
from train.recipes import Recipe
from train.run_folder import CHECKPOINT, SUFFIX, digest_of
from train.train_config import TrainConfig

NOT_CALIBRATED = (
    "confidence is not calibrated: its temperature ended at the bound of the search ({:.3f}), "
    "since scores hardly distinguish the labels of recordings that were left out"
)


def content_of(config: TrainConfig, recipe: Recipe, data: Data) -> dict[str, Any]:
    """The content of `config.json`."""
    init = init_path(recipe, config.init)
    return {
        "training": asdict(config),
        "recipe": recipe.stored(),
        "recordings": {"count": len(data.utterances), "digest": data.digest()},
        "init": digest_of(str(init)) if init else None,
        "versions": versions(),
    }


def publish(config: TrainConfig, note: str, *, all_seen: bool) -> list[str]:
    """Store the held-out figures in the checkpoint, write its card, and copy both to `--out`."""
    folder = config.folder
    info, network = load_network(folder / CHECKPOINT)
    path = folder / "figures.json"
    figures: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    compared = figures.pop(COMPARISON, {}).get("text", [])
    report = "\n".join(f"- {each}" for each in compared)
    info = replace(info, name=config.name, metrics=figures, note=note, report=report)
    target = Path(config.out or "")
    places = [folder / CHECKPOINT]
    if target.suffix == SUFFIX:
        places.append(target)
    for place in places:
        save_checkpoint(place, info, network)
        place.with_suffix(".md").write_text(card(info, all_seen=all_seen))
    lines = [] if is_calibrated(info.temperature) else [NOT_CALIBRATED.format(info.temperature)]
    return [*lines, f"written: {target}"] if target.suffix == SUFFIX else lines

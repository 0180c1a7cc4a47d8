"""The options of one training."""

from dataclasses import dataclass
from pathlib import Path

from batch_ser.errors import UsageError
from batch_ser.storage import is_store
from models.onnx_file import ENDING
from train.data import labelled, overview
from train.recipes import Recipe, as_text, check_together, find_recipe
from train.run_folder import SUFFIX


@dataclass(frozen=True)
class TrainConfig:
    """One training, by the options of the command line."""

    data: tuple[str, ...]
    recipe: str
    out: str | None = None
    init: str | None = None
    fresh_head: bool = False  # of the included checkpoint nothing but Whisper's encoder is kept
    split: str = ""
    seed: int = 0
    cache: str | None = None
    labels: str | None = None
    overrides: tuple[str, ...] = ()  # FIELD=VALUE
    device: str = "auto"
    allow_duplicates: bool = False
    allow_leak: bool = False
    figures_only: bool = False  # no checkpoint on everything after several folds
    restart: bool = False
    embeddings: str | None = None  # an output whose segments `data` labels: fit=head

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: expected 0 or more")
        if (self.init or "").endswith(ENDING):
            raise UsageError(
                f"--init {self.init}: an exported file, which cannot be trained on; expected the "
                "checkpoint from which it was exported"
            )

    def show(self) -> str:
        """The recipe with every field, and an overview of the data."""
        shown = [as_text(find_recipe(self.recipe, self.overrides))] if self.recipe else []
        if self.data and not self.embeddings:
            shown += [overview(labelled(self.data, self.labels))]
        return "\n\n".join(shown)

    def chosen_recipe(self) -> Recipe:
        """The recipe with its overrides.

        Raises:
            UsageError: there is no such recipe, or its fields contradict each other.
        """
        recipe = find_recipe(self.recipe, self.overrides)
        check_together(recipe)
        if self.fresh_head and recipe.fit == "head":
            raise UsageError(
                f"--fresh-head: found the recipe {self.recipe}, which moves the head of a "
                "checkpoint; expected --recipe accurate, or no --fresh-head"
            )
        if self.embeddings and recipe.fit != "head":
            raise UsageError(
                f"--embeddings {self.embeddings}: found the recipe {self.recipe}, which needs "
                "recordings; expected --recipe head"
            )
        return recipe

    @property
    def name(self) -> str:
        """Of the checkpoint."""
        return Path(self.out or "").stem

    @property
    def folder(self) -> Path:
        """The run's folder: `--out`, or beside the checkpoint that it names."""
        if not self.out:
            raise UsageError("--out: expected a folder for the run, or a checkpoint's name")
        if is_store(self.out):
            raise UsageError(f"--out {self.out}: an address, expected a folder of this machine")
        path = Path(self.out)
        return path.with_suffix(".run") if path.suffix == SUFFIX else path

"""What fields of two groups, or a recipe and its data, contradict each other in."""

from collections.abc import Sequence

from batch_ser.errors import UsageError
from models.expectation import NEUTRAL
from train.augmentation import Augmentation
from train.data import Utterance
from train.recipes.recipe import Recipe

WITH_OFFSET = ("whisper", "tdnn")  # architectures that have the offset head
STUDENTS = ("tdnn",)  # and those whose encoder is distilled
OF_BATCHES = ("time_masks", "band_masks", "spectral_noise", "mixup")  # of `Augmentation`


def check_together(recipe: Recipe) -> None:
    """Refuse a recipe with fields that contradict each other.

    Raises:
        UsageError: it has some.
    """
    _check_regression(recipe)
    _check_lda(recipe)
    _check_distillation(recipe)
    if recipe.fit != "linear":
        many = "" if recipe.fit == "lda" else ", or 0 for a new version each epoch"
        _check_views("", recipe.views, recipe.augmentation, many)


def _check_regression(recipe: Recipe) -> None:
    linear = recipe.fit == "linear"
    regression = linear or recipe.optimisation.linear_probe_initialisation
    if regression and (recipe.architecture != "whisper" or recipe.settings.get("hidden")):
        raise UsageError(
            f"recipe {recipe.name}: fit=linear and optimisation.linear_probe_initialisation=true "
            "need the architecture whisper with settings.hidden=0"
        )
    if linear and (recipe.float16 or recipe.optimisation.refit):
        raise UsageError(
            f"recipe {recipe.name}: fit=linear has no float16 or optimisation.refit; expected a "
            "recipe with fit=gradient"
        )


def _check_lda(recipe: Recipe) -> None:
    """`fit=lda` and the offset head need each other."""
    lda, head = recipe.fit == "lda", recipe.settings.get("head", "linear")
    if lda and recipe.architecture not in WITH_OFFSET:
        raise UsageError(
            f"recipe {recipe.name}: fit=lda needs the architecture {' or '.join(WITH_OFFSET)}, "
            f"found {recipe.architecture}"
        )
    if lda != (head == "offset"):
        raise UsageError(
            f"recipe {recipe.name}: found fit={recipe.fit} with settings.head={head}; expected "
            "fit=lda with settings.head=offset, or neither of them"
        )
    if not lda:
        return
    if recipe.optimisation.refit:
        raise UsageError(
            f"recipe {recipe.name}: found optimisation.refit=true with fit=lda, which is fitted on "
            "the valid side, too; expected optimisation.refit=false"
        )
    if not recipe.views:
        raise UsageError(f"recipe {recipe.name}: found views=0 with fit=lda, expected 1 or more")
    _check_unused("", "fit=lda", recipe.augmentation)


def _check_distillation(recipe: Recipe) -> None:
    chosen = recipe.distillation
    if not chosen.epochs:
        return
    if recipe.architecture not in STUDENTS:
        raise UsageError(
            f"recipe {recipe.name}: found distillation.epochs={chosen.epochs} with the "
            f"architecture {recipe.architecture}; expected {' or '.join(STUDENTS)}, or "
            "distillation.epochs=0"
        )
    if not recipe.views:
        raise UsageError(
            f"recipe {recipe.name}: found views=0 with distillation.epochs={chosen.epochs}, whose "
            "encoder's features stay in memory; expected 1 or more"
        )
    _check_views("distillation.", chosen.views, chosen.augmentation)
    _check_unused("distillation.", "distillation", chosen.augmentation)


def _check_views(group: str, views: int, augmentation: Augmentation, further: str = "") -> None:
    """Refuse changes of samples where every recording is used as it is.

    `further` is what is expected besides a larger number, for the message.
    """
    changed = set(augmentation.of_samples()) - {"probability", "pad"}
    if views == 1 and changed:
        raise UsageError(
            f"{group}views=1 has every recording as it is: {group}augmentation.{min(changed)} "
            f"changes nothing; expected {group}views=2 or more{further}"
        )


def _check_unused(group: str, what: str, augmentation: Augmentation) -> None:
    """Refuse changes of features where only samples are changed."""
    if unused := [name for name in OF_BATCHES if getattr(augmentation, name)]:
        raise UsageError(
            f"{group}augmentation.{unused[0]}={getattr(augmentation, unused[0])}: {what} changes "
            "samples alone; expected 0"
        )


def check_ordinary(recipe: Recipe, utterances: Sequence[Utterance], data: Sequence[str]) -> None:
    """Refuse ordinary speech, which is among `data`, where it would train as a label or not at all.

    Raises:
        UsageError: the recipe is not fitted by discriminant analysis, or no label is neutral.
    """
    given = [each for each in data if each.startswith("ordinary:")]
    neutral = any(each.label == NEUTRAL for each in utterances if not each.is_ordinary)
    if given and recipe.fit == "lda" and not neutral:
        raise UsageError(
            f"--data {given[0]}: found no recording with the label neutral, whose distance from "
            "ordinary speech gives the usual offset; expected some in the other data, and neutral "
            "among --labels; or give no ordinary:PATH"
        )
    found = [each for each in utterances if each.is_ordinary]
    if found and recipe.fit != "lda":
        raise UsageError(
            f"recipe {recipe.name}: found {len(found)} recordings of ordinary speech (such as "
            f"{found[0].name}) with fit={recipe.fit}; they serve fit=lda alone: give no --data "
            "ordinary:PATH, or a recipe such as accurate"
        )

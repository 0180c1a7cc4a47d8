"""Fields of a recipe that cannot go together, and data that a recipe cannot use."""

from collections.abc import Sequence

from batch_ser.errors import UsageError
from train.augmentation import Augment
from train.data import Utterance
from train.recipes.presets import Recipe

WITH_OFFSET = ("whisper", "tdnn")  # architectures that have the offset head
STUDENTS = ("tdnn",)  # and those whose encoder is distilled
OF_BATCHES = ("time_masks", "band_masks", "spectral_noise", "mixup")  # of `Augment`


def check_together(recipe: Recipe) -> None:
    """Refuse a recipe with fields that contradict each other.

    Raises:
        UsageError: it has some.
    """
    _check_regression(recipe)
    _check_lda(recipe)
    _check_distillation(recipe)
    if recipe.refit and recipe.monitor != "last":
        raise UsageError(f"refit=true: found monitor={recipe.monitor}, expected monitor=last")
    if recipe.fit != "linear":
        _check_views("", recipe.views, recipe.augment)


def _check_regression(recipe: Recipe) -> None:
    regression = recipe.fit == "linear" or recipe.probe
    if regression and (recipe.architecture != "whisper" or recipe.settings.get("hidden")):
        raise UsageError(
            f"recipe {recipe.name}: fit=linear and probe=true need the architecture whisper "
            "with settings.hidden=0"
        )
    if recipe.fit == "linear" and (recipe.half or recipe.refit):
        raise UsageError(
            f"recipe {recipe.name}: fit=linear has no half or refit; expected a recipe with "
            "fit=gradient"
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
    if recipe.refit:
        raise UsageError(
            f"recipe {recipe.name}: found refit=true with fit=lda, which is fitted on the valid "
            "side, too; expected refit=false"
        )
    if not recipe.views:
        raise UsageError(f"recipe {recipe.name}: found views=0 with fit=lda, expected 1 or more")
    _check_unused("", "fit=lda", recipe.augment)


def _check_distillation(recipe: Recipe) -> None:
    distil = recipe.distil
    if not distil.epochs:
        return
    if recipe.architecture not in STUDENTS:
        raise UsageError(
            f"recipe {recipe.name}: found distil.epochs={distil.epochs} with the architecture "
            f"{recipe.architecture}; expected {' or '.join(STUDENTS)}, or distil.epochs=0"
        )
    if not recipe.views:
        raise UsageError(
            f"recipe {recipe.name}: found views=0 with distil.epochs={distil.epochs}, whose "
            "encoder's features stay in memory; expected 1 or more"
        )
    _check_views("distil.", distil.views, distil.augment)
    _check_unused("distil.", "distillation", distil.augment)


def _check_views(field: str, views: int, augment: Augment) -> None:
    """Refuse changes of samples where every recording is used as it is."""
    changed = set(augment.of_samples()) - {"probability", "pad"}
    if views == 1 and changed:
        further = "" if field else ", or 0 for a new version each epoch"
        raise UsageError(
            f"{field}views=1 has every recording as it is: {field}augment.{min(changed)} changes "
            f"nothing; expected {field}views=2 or more{further}"
        )


def _check_unused(field: str, what: str, augment: Augment) -> None:
    """Refuse changes of features where only samples are changed."""
    if unused := [name for name in OF_BATCHES if getattr(augment, name)]:
        raise UsageError(
            f"{field}augment.{unused[0]}={getattr(augment, unused[0])}: {what} changes samples "
            "alone; expected 0"
        )


def check_ordinary(recipe: Recipe, utterances: Sequence[Utterance]) -> None:
    """Refuse ordinary speech where it would train as a label.

    Raises:
        UsageError: there is some, and the recipe is not fitted by discriminant analysis.
    """
    found = [each for each in utterances if each.is_ordinary]
    if found and recipe.fit != "lda":
        raise UsageError(
            f"recipe {recipe.name}: found {len(found)} recordings of ordinary speech (such as "
            f"{found[0].name}) with fit={recipe.fit}; they serve fit=lda alone: give no --data "
            "ordinary:PATH, or a recipe such as accurate"
        )

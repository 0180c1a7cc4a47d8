"""What an encoder's weights rest on: Whisper's, a file of the user's own, and corpora."""

from pathlib import Path
from typing import Any

import torch

from batch_ser.errors import UsageError
from models.checkpoint import is_checkpoint, read_info, read_weights
from models.loading import SHIPPED
from train.data import CORPORA
from train.fitting.initialisation import DEFAULT_STUDENT, init_path
from train.fitting.pretrained import ENCODER, MARK, corpora_of_encoder
from train.recipes import Recipe

INCLUDED = "accurate"  # the checkpoint whose encoder is OpenAI's, and the recipe that takes it
WHISPER_TINY_EN = {
    "name": "encoder of OpenAI's Whisper tiny.en",
    "licence": "MIT",
    "source": "github.com/openai/whisper; Radford et al. 2022",
}
DISTILLED_ON = ("emospeech", "urdu")  # the included student, besides ordinary speech
Entry = dict[str, Any]  # of a checkpoint's `corpora`


def encoder_corpora(recipe: Recipe, init: str | None) -> tuple[Entry, ...]:
    """What the pretrained encoder of a training rests on: weights, and corpora of other trainings.

    Entries for the metadata's `corpora`; weights are those without `recordings`.
    """
    path = init_path(recipe, init)
    if path is None or not path.is_file():
        return ()
    found = corpora_of_encoder(read_info(path)) if is_checkpoint(path) else ()
    unknown = {"licence": "not stated", "source": "not stated"}
    return tuple(unknown | each | {MARK: True} for each in found or [_of_weights(path)])


def _of_weights(path: Path) -> Entry:
    """The entry of an encoder by its weights: those of Whisper tiny.en, or others."""
    included, own = (_encoder(each) for each in (SHIPPED / f"{INCLUDED}.safetensors", path))
    if all(name in own and torch.equal(own[name], included[name]) for name in included):
        return dict(WHISPER_TINY_EN)
    return {
        "name": f"encoder in {path.name}",
        "licence": "not stated: weights of the user's own",
        "source": "the user",
    }


def _encoder(path: Path) -> dict[str, torch.Tensor]:
    weights = read_weights(path)
    inside = {name for name in weights if name.startswith(ENCODER)} or weights.keys()
    return {name.removeprefix(ENCODER): weights[name] for name in inside}


def fresh_head_init(recipe: Recipe, init: str | None) -> str:
    """`--init` of a training that keeps nothing but an encoder which learned from no corpus.

    Raises:
        UsageError: another fit than that of a whole new head, or an encoder that learned from
            corpora.
    """
    given = f" with --init {init}" if init else ""
    init = init or INCLUDED
    expected = f"expected --recipe {INCLUDED}, whose encoder is that of OpenAI's Whisper (MIT)"
    taken = recipe.architecture == "tdnn" and not recipe.distillation.epochs
    if taken or init == DEFAULT_STUDENT:
        distilled = ", ".join(f"{CORPORA[e].title} ({CORPORA[e].licence})" for e in DISTILLED_ON)
        raise UsageError(
            f"--fresh-head: found --recipe {recipe.name}{given}; the encoder of a "
            f"student learned from corpora, by distillation: that of {DEFAULT_STUDENT} from "
            f"{distilled} and ordinary speech; {expected}"
        )
    if recipe.architecture != "whisper" or recipe.fit != "lda":
        raise UsageError(f"--fresh-head: found --recipe {recipe.name}; {expected}")
    learned = [each["name"] for each in encoder_corpora(recipe, init) if "recordings" in each]
    if learned:
        raise UsageError(
            f"--fresh-head: the encoder of --init {init} learned from {', '.join(learned)}; "
            f"{expected}, and --init {INCLUDED} or a file with weights of an encoder alone"
        )
    return init

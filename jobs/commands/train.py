"""`batch-ser train`."""

from typing import TYPE_CHECKING, Annotated

import typer

from batch_ser.errors import UsageError
from jobs.commands.exits import exit_codes
from jobs.commands.options import AllowDuplicates, Data, Device, Labels
from jobs.stop import OrderlyStop

if TYPE_CHECKING:  # importing it takes a second
    from train.train_config import TrainConfig


def train(
    data: Data = None,
    recipe: Annotated[
        str, typer.Option(help="The recipe; --recipe NAME --show prints its fields.")
    ] = "",
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Folder of the run, or FILE.safetensors.")
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Pretrained weights: a checkpoint whose encoder is taken (accurate, fast or a "
            "file), a file of Whisper's encoder, or a Hugging Face folder."
        ),
    ] = None,
    fresh_head: Annotated[
        bool,
        typer.Option(
            "--fresh-head",
            help="With --recipe accurate: keep Whisper's encoder alone of the included checkpoint.",
        ),
    ] = False,
    embeddings: Annotated[
        str | None,
        typer.Option(
            help="With --recipe head: what --out of a run was; its segments are labelled by --data "
            "manifest:FILE, and no recording is read."
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="random:80/10/10, speakers:K, loso, kfold:K, cross, given, "
            "emobox:FILE[:FOLD], saved:FILE or none."
        ),
    ] = "",
    labels: Labels = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the recipe; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn at random.")] = 0,
    device: Device = "auto",
    cache: Annotated[
        str | None, typer.Option(help="Folder where features are kept for later trainings.")
    ] = None,
    figures_only: Annotated[
        bool, typer.Option("--figures-only", help="Folds alone: no checkpoint on everything.")
    ] = False,
    allow_duplicates: AllowDuplicates = False,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Copies may be on both sides of a split.")
    ] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin again from nothing.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the recipe and the data, and stop.")
    ] = False,
) -> None:
    """Train a checkpoint, with held-out figures from the split's folds.

    The same command goes on where a stopped training ended.
    """
    with exit_codes(resumable=True), OrderlyStop().installed():
        _check_options(recipe, data, show=show)
        from train.train_config import TrainConfig

        config = TrainConfig(
            data=tuple(data or ()),
            recipe=recipe,
            out=out,
            init=init,
            embeddings=embeddings,
            fresh_head=fresh_head,
            split=split,
            labels=labels,
            overrides=tuple(override or ()),
            seed=seed,
            device=device,
            cache=cache,
            figures_only=figures_only,
            allow_duplicates=allow_duplicates,
            allow_leak=allow_leak,
            restart=restart,
        )
        typer.echo(config.show() if show else _trained(config))


def _trained(config: "TrainConfig") -> str:
    """Train on recordings, or on segments of an output."""
    from train.head import train_head
    from train.run import train as train_checkpoint

    if config.embeddings is None:
        return train_checkpoint(config)
    from jobs.labelled_embeddings import labelled_embeddings
    from train.fitting import init_path

    recipe = config.chosen_recipe()
    model = init_path(recipe, config.init)
    assert model is not None  # by default the included `accurate`
    embedded = labelled_embeddings(config.embeddings, config.data, model, config.labels)
    return train_head(config, recipe, embedded)


def _check_options(recipe: str, data: list[str] | None, *, show: bool) -> None:
    """Refuse a training, or an overview, of nothing."""
    from train.recipes import RECIPES

    if show and not recipe and not data:
        raise UsageError(
            "--show: found neither --recipe nor --data; expected --recipe NAME, whose fields it "
            f"prints ({', '.join(RECIPES)}), or --data KIND:PATH, which it counts"
        )
    if not show and not recipe:
        raise UsageError(f"--recipe: expected one of {', '.join(RECIPES)}")

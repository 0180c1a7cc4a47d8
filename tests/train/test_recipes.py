"""Recipes: presets whose every field the command line shows and takes."""

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from conftest import Runner
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.errors import UsageError
from models.architectures import ARCHITECTURES, build
from train.augmentation.settings import Augmentation
from train.recipes.overrides import as_text, find_recipe
from train.recipes.presets import RECIPES
from train.recipes.recipe import Recipe
from train.recipes.settings import (
    Distillation,
    HeadSettings,
    LDASettings,
    LinearFit,
    Optimisation,
)
from train.run import TrainConfig


def test_every_system_has_a_recipe_that_its_architecture_takes() -> None:
    convolutional = {"vgg", "mfcc-cnn", "acnt", "gap-cnn"}
    frozen = {"whisper-frozen", "whisper-mlp", "accurate", "student", "fast"}
    assert set(RECIPES) == convolutional | frozen | {"ast", "whisper", "hf", "head"}
    own = RECIPES.keys() - {"head"}  # which takes the network of a checkpoint
    assert {RECIPES[name].architecture for name in own} == set(ARCHITECTURES)
    for name in own - {"ast", "hf"}:
        build(RECIPES[name].architecture, 6, RECIPES[name].settings)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("optimisation.epochs=3", "optimisation.epochs", 3),
        ("epochs=3", "optimisation.epochs", 3),
        ("learning_rate=2", "optimisation.learning_rate", 2.0),
        ("learning_rate=1e-4", "optimisation.learning_rate", 1e-4),
        ("optimiser=adam", "optimisation.optimiser", "adam"),
        ('optimiser="adam"', "optimisation.optimiser", "adam"),
        ("optimisation.class_weights=true", "optimisation.class_weights", True),
        ("clip=none", "optimisation.clip", None),
        ("clip=null", "optimisation.clip", None),
        ("pretrained_rate=0.5", "optimisation.pretrained_rate", 0.5),
        ("linear.speeds=[1, 0.9]", "linear.speeds", (1.0, 0.9)),
        ("speeds=[1, 0.9]", "linear.speeds", (1.0, 0.9)),
        ('settings={"dropout": 0.1}', "settings", {"dropout": 0.1}),
        ("settings.taps=[1]", "settings", RECIPES["whisper"].settings | {"taps": [1]}),
        ("front_end.bands=64", "front_end", {"bands": 64}),
        ("augmentation.noise_snr_db=[5, 20]", "augmentation.noise_snr_db", (5.0, 20.0)),
        ("augmentation.noise_snr_db=none", "augmentation.noise_snr_db", None),
        ("polarity=true", "augmentation.polarity", True),
        (" augmentation.gain_db = 3 ", "augmentation.gain_db", 3.0),
        ("views=5", "views", 5),
        ("distillation.epochs=3", "distillation.epochs", 3),
        ("lda.shrinkage=0.5", "lda.shrinkage", 0.5),
        ("shrinkage=0.5", "lda.shrinkage", 0.5),
    ],
)
def test_one_field_is_changed_and_no_other(text: str, path: str, value: Any) -> None:
    preset = RECIPES["whisper"]
    outer, _, inner = path.partition(".")
    change = replace(getattr(preset, outer), **{inner: value}) if inner else value
    found = find_recipe("whisper", [text])
    assert found == replace(preset, **{outer: change})
    assert type(getattr(found, outer)) is type(change)
    assert find_recipe("whisper") == preset


def test_fields_of_fields_of_fields_are_changed() -> None:
    preset = RECIPES["student"]
    overrides = ["distillation.augmentation.speed=0.3", "distillation.views=5"]
    augmentation = replace(preset.distillation.augmentation, speed=0.3)
    changed = replace(preset.distillation, views=5, augmentation=augmentation)
    assert find_recipe("student", overrides) == replace(preset, distillation=changed)


def test_later_changes_win() -> None:
    found = find_recipe("mfcc-cnn", ["epochs=3", "settings.a=1", "settings.b=2", "epochs=4"])
    assert (found.optimisation.epochs, found.settings) == (4, {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs", "--set epochs: expected FIELD=VALUE"),
        (
            "epoch=3",
            "no field 'epoch'; expected one of architecture, .*optimisation, .*--show prints",
        ),
        ("name=mine", "no field 'name'"),
        ("augmentation.noise=3", "no field 'noise'; expected one of probability, gain_db"),
        ("layers=3", "--set layers=3: found an ambiguous name, expected distillation.layers"),
        ("epochs.many=3", "epochs has no fields of its own"),
        ("epochs=many", "--set epochs=many: expected a whole number"),
        ("epochs=1.5", "expected a whole number"),
        ("epochs=true", "expected a whole number"),
        ("epochs=0", "optimisation.epochs=0: expected more than 0"),
        ("class_weights=1", "expected true or false"),
        ("class_weights=yes", "expected true or false"),
        ("learning_rate=fast", "expected a number"),
        ("learning_rate=-1", "expected more than 0"),
        ("clip=some", "expected a number or none"),
        ("speeds=1", r"expected numbers such as \[1, 2\]"),
        ('speeds=["fast"]', r"expected numbers such as \[1, 2\]"),
        ("speeds=[20]", "of 0.1 to 10"),
        ("speeds=[]", r"linear.speeds=\[\]: expected one or more"),
        ("settings=3", "expected an object"),
        ("augmentation=none", "expected its fields one by one"),
        ("optimisation=3", "expected its fields one by one, such as optimisation.epochs=9"),
        ("linear=3", "expected its fields one by one, such as linear.max_iterations=900"),
        ("optimiser=sgd", "optimisation.optimiser=sgd: expected adamw or adam"),
        ("schedule=3", "expected a word"),
        ("monitor=wa", "expected uar or macro_f1 or accuracy or loss"),
        ("label_smoothing=1", "expected shares between 0 and 1"),
        ("valid_share=0", "expected shares between 0 and 1"),
        ("distillation=3", "expected its fields one by one, such as distillation.epochs=9"),
        ("lda=3", "--set lda=3: expected its fields one by one, such as lda.shrinkage=0.5"),
        ("distillation.epochs=-1", "distillation.epochs=-1: expected 0 or more"),
        ("distillation.views=0", "distillation.views=0: expected more than 0"),
        ("distillation.layers=0", "distillation.layers=0: expected more than 0"),
        ("distillation.learning_rate=0", "distillation.learning_rate=0.0: expected more than 0"),
        (
            "distillation.augmentation.noise=3",
            "no field 'noise'; expected one of probability, gain_db",
        ),
        ("lda.shrinkage=2", "lda.shrinkage=2: expected a share"),
        ("fit=svm", "fit=svm: expected gradient or linear or lda"),
        ("views=-1", "views=-1: expected 0 or more"),
        ("crop_s=-2", "crop_s=-2.0: expected more than 0"),
        ("learning_rate=Infinity", "optimisation.learning_rate=inf: expected more than 0"),
        ("clip=-1", "optimisation.clip=-1.0: expected more than 0"),
        ("warm_up=5", "optimisation.warm_up=5.0: expected a share"),
        ("weight_decay=-1", "optimisation.weight_decay=-1.0: expected 0 or more"),
        ("augmentation.mixup=-1", "augmentation.mixup=-1.0: expected 0 or more"),
        (
            "augmentation.time_mask_frames=-1",
            "augmentation.time_mask_frames=-1: expected 0 or more",
        ),
        (
            "augmentation.noise_snr_db=[9]",
            r"augmentation.noise_snr_db=.* expected \[LOWEST, HIGHEST\]",
        ),
        ("augmentation.probability=2", "augmentation.probability=2.0: expected 0 to 1"),
    ],
)
def test_changes_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_recipe("vgg", [text])


def test_an_unknown_recipe() -> None:
    with pytest.raises(UsageError, match="--recipe vgg16: expected one of ast, vgg, mfcc-cnn"):
        find_recipe("vgg16")


def names(kind: type, before: str = "") -> Iterator[str]:
    """Every field of a recipe, those of its groups as `group.field`."""
    groups = {
        "distillation": Distillation,
        "optimisation": Optimisation,
        "linear": LinearFit,
        "lda": LDASettings,
        "head": HeadSettings,
        "augmentation": Augmentation,
    }
    for each in fields(kind):  # type: ignore[arg-type]
        if each.name in groups:
            yield from names(groups[each.name], f"{before}{each.name}.")
        else:
            yield before + each.name


def lines_of(recipe: Recipe) -> list[str]:
    head, *lines = as_text(recipe).splitlines()
    assert head == f"recipe {recipe.name}"
    return [line.strip() for line in lines]


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_shown_is_taken_again(name: str) -> None:
    """Every field is shown, and all the lines of one recipe turn another into it."""
    lines = lines_of(RECIPES[name])
    shown = {line.partition("=")[0] for line in lines}
    assert shown == set(names(Recipe)) - {"name"}
    for other in RECIPES:
        assert replace(find_recipe(other, lines), name=name) == RECIPES[name]


@given(
    st.builds(
        Recipe,
        st.just("mine"),
        st.sampled_from(sorted(ARCHITECTURES)),
        optimisation=st.builds(
            Optimisation,
            learning_rate=st.floats(1e-9, 10),
            clip=st.none() | st.floats(1e-9, 10),
            class_weights=st.booleans(),
            monitor=st.sampled_from(["uar", "loss"]),
        ),
        linear=st.builds(LinearFit, speeds=st.lists(st.floats(0.1, 10), min_size=1).map(tuple)),
        settings=st.dictionaries(st.text("abc_", min_size=1), st.integers() | st.text()),
        augmentation=st.builds(
            Augmentation, probability=st.floats(0, 1), gain_db=st.none() | st.floats(0, 9)
        ),
    )
)
def test_any_recipe_survives_being_shown(recipe: Recipe) -> None:
    found = find_recipe("vgg", lines_of(recipe))
    assert replace(found, name="mine") == recipe
    assert json.loads(json.dumps(recipe.stored()))["settings"] == recipe.settings


def test_show_prints_a_recipe_and_its_changes(batch_ser: Runner) -> None:
    done = batch_ser("train", "--recipe", "vgg", "--show", "--set", "augmentation.gain_db=3")
    assert done.returncode == 0, done.stderr
    changed = find_recipe("vgg", ["augmentation.gain_db=3"])
    assert done.stdout.splitlines() == as_text(changed).splitlines()
    assert "  augmentation.gain_db=3.0" in done.stdout.splitlines()
    wrong = batch_ser("train", "--recipe", "vgg", "--show", "--set", "epochs=many")
    assert wrong.returncode == 2
    assert wrong.stderr == "batch-ser: --set epochs=many: expected a whole number\n"


def test_a_refit_keeps_the_last_epoch() -> None:
    with pytest.raises(UsageError, match=r"found optimisation\.monitor=uar, expected .*=last"):
        find_recipe("vgg", ["refit=true"])
    for overrides in (("refit=true", "monitor=last"), ("monitor=last", "refit=true")):
        assert TrainConfig((), "vgg", overrides=overrides).chosen_recipe().optimisation.refit


def test_changes_of_views_that_there_are_not_are_refused() -> None:
    for change in ("gain_db=6", "polarity=true"):
        config = TrainConfig((), "whisper", overrides=("views=1", change))
        with pytest.raises(UsageError, match="views=1 has every recording as it is"):
            config.chosen_recipe()
    off = [f"augmentation.{name}=null" for name in ("gain_db", "speed", "noise_snr_db")]
    assert TrainConfig((), "mfcc-cnn", overrides=("views=1", *off)).chosen_recipe().views == 1


@pytest.mark.parametrize(
    ("recipe", "sets", "message"),
    [
        ("whisper-frozen", ("float16=true",), "fit=linear has no float16 or optimisation.refit"),
        (
            "gap-cnn",
            ("linear_probe_initialisation=true",),
            "linear_probe_initialisation=true need the architecture whisper",
        ),
        ("accurate", ("fit=gradient",), "found fit=gradient with settings.head=offset"),
        ("accurate", ("settings.head=linear",), "found fit=lda with settings.head=linear"),
        ("whisper-mlp", ("fit=lda", "mixup=0"), "found fit=lda with settings.head=linear"),
        ("gap-cnn", ("settings.head=offset",), "found fit=gradient with settings.head=offset"),
        ("gap-cnn", ("fit=lda",), "fit=lda needs the architecture whisper or tdnn, found gap_cnn"),
        ("accurate", ("refit=true", "monitor=last"), "optimisation.refit=true with fit=lda"),
        ("accurate", ("views=0",), "found views=0 with fit=lda"),
        (
            "accurate",
            ("views=1",),
            r"views=1 has every .* as it is: augmentation.cut_s .*; expected views=2 or more$",
        ),
        ("fast", ("mixup=0.4",), r"augmentation.mixup=0.4: fit=lda changes samples alone"),
        (
            "gap-cnn",
            ("distillation.epochs=1",),
            "distillation.epochs=1 with the architecture gap_cnn; .*tdnn",
        ),
        (
            "student",
            ("distillation.views=1",),
            r"distillation.views=1 has every .* distillation.augmentation.babble",
        ),
        (
            "student",
            ("distillation.augmentation.time_masks=1",),
            "distillation.augmentation.time_masks=1: distillation",
        ),
        (
            "student",
            ("fit=gradient", "settings.head=linear", "views=0"),
            "found views=0 with distillation.epochs=60",
        ),
    ],
)
def test_fields_that_contradict_each_other(
    recipe: str, sets: tuple[str, ...], message: str
) -> None:
    assert TrainConfig((), recipe).chosen_recipe() == RECIPES[recipe]
    with pytest.raises(UsageError, match=message):
        TrainConfig((), recipe, overrides=sets).chosen_recipe()

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_med import (
    Binary,
    Classes,
    Data,
    Evaluate,
    Export,
    Final,
    Holdout,
    Image,
    KFold,
    Model,
    Recipe,
    Regression,
    Train,
)
from keras_med.errors import RecipeError
from keras_med.recipe.consistency import check_settings
from keras_med.recipe.words import Split, Target


def recipe(train: Train, final: Final | None = None, target: Target | None = None) -> Recipe:
    def index(root: Path) -> Any: ...

    def network(image: Any) -> Any: ...

    return Recipe(
        target=target or Regression(),
        data=Data(index),
        image=Image(size=(8, 8)),
        split=KFold() if final else Holdout(),
        model=Model(network),
        train=train,
        final=final,
    )


@pytest.mark.parametrize(
    ("train", "told"),
    [
        (Train(epochs=3, warmup=3), "leaves none of the 3 epochs"),
        (Train(restarts=2), "needs cosine annealing"),
        (Train(schedule="cosine", restarts=2, warmup=1), r"does not go with train\.restarts"),
        (Train(schedule="plateau", warmup=1), r"does not go with train\.schedule"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(train: Train, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        check_settings(recipe(train))


def test_a_final_network_may_not_follow_what_it_only_watches() -> None:
    with pytest.raises(RecipeError, match="watches and never uses"):
        check_settings(recipe(Train(schedule="plateau"), Final()))


def test_what_goes_together_is_left_alone() -> None:
    check_settings(recipe(Train(schedule="cosine", warmup=2), Final()))
    check_settings(recipe(Train(schedule="plateau")))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target": Regression()}, "needs a binary target"),
        ({"split": KFold()}, "folds without a final network"),
        ({"split": KFold(), "final": Final()}, "examples that it never saw"),
        ({"split": KFold(), "final": Final(calibration=0.15, start="best_fold")}, "must never have seen"),
    ],
)
def test_a_threshold_needs_examples_that_the_network_never_saw(changes: dict[str, Any], told: str) -> None:
    asked = {"target": Binary(), "evaluate": Evaluate(sensitivity=0.9), "split": Holdout()}
    check_settings(replace(recipe(Train()), **asked))
    check_settings(replace(recipe(Train()), **{**asked, "split": KFold(), "final": Final(calibration=0.15)}))
    with pytest.raises(RecipeError, match=told):
        check_settings(replace(recipe(Train()), **{**asked, **changes}))


@pytest.mark.parametrize(
    ("split", "final", "told"),
    [
        (Holdout(), Final(ensemble=True), "is the mean of the folds' networks, and split is Holdout"),
        (KFold(), Final(ensemble=True, start="best_fold"), "which final.start is for"),
        (KFold(), Final(ensemble=True, redraw=True), "which final.redraw is for"),
        (KFold(), Final(ensemble=True, calibration=0.1), "which final.calibration is for"),
        (KFold(), Final(ensemble=True, share=0.9), "which final.share is for"),
    ],
)
def test_an_ensemble_needs_folds_and_trains_nothing_after_them(split: Split, final: Final, told: str) -> None:
    check_settings(replace(recipe(Train()), split=KFold(), final=Final(ensemble=True)))
    with pytest.raises(RecipeError, match=told) as refused:
        check_settings(replace(recipe(Train()), split=split, final=final))
    assert "--set final.ensemble=false" in refused.value.remedy


def test_an_ensemble_s_threshold_comes_from_the_folds_unless_they_chose_the_weights() -> None:
    asked = replace(recipe(Train(schedule="plateau"), target=Binary()), evaluate=Evaluate(sensitivity=0.9))
    check_settings(replace(asked, split=KFold(), final=Final(ensemble=True)))
    with pytest.raises(RecipeError, match="chooses the weights on them too"):
        check_settings(replace(asked, split=KFold(validation=0), final=Final(ensemble=True)))


def test_the_highest_of_several_classes_is_no_prediction_of_a_patient() -> None:
    asked = replace(recipe(Train(), target=Classes(names=("a", "b"))), evaluate=Evaluate(unit="patient", combine="max"))
    check_settings(replace(asked, target=Binary()))
    with pytest.raises(RecipeError, match=r"evaluate\.combine=max needs a binary target"):
        check_settings(asked)


@pytest.mark.parametrize(
    ("target", "loss", "known"),
    [
        (Binary(), "mean_squared_error", "auto, crossentropy, focal"),
        (Classes(names=("a", "b")), "huber", "auto, crossentropy, focal"),
        (Regression(), "focal", "auto, mean_squared_error, mean_absolute_error, huber"),
    ],
)
def test_a_loss_that_does_not_fit_the_target_is_refused(target: Target, loss: Any, known: str) -> None:
    with pytest.raises(RecipeError, match=f"'{loss}' does not fit {type(target).__name__}\nOne of {known}."):
        check_settings(recipe(Train(loss=loss), target=target))


@pytest.mark.parametrize(
    ("train", "name"),
    [(Train(label_smoothing=0.1), "label_smoothing"), (Train(class_weight="balanced"), "class_weight")],
)
def test_what_only_classes_have_is_refused_for_a_number(train: Train, name: str) -> None:
    with pytest.raises(RecipeError, match=rf"train\.{name} needs classes, and the target is a number"):
        check_settings(recipe(train))
    check_settings(recipe(train, target=Binary()))


@pytest.mark.parametrize("name", ["litert", "litert_int8"])
def test_litert_is_refused_for_volumes_before_training(name: Any) -> None:
    pictures = replace(recipe(Train()), export=Export(formats=("onnx", name)))
    check_settings(pictures)
    with pytest.raises(RecipeError, match=f"export.formats has {name}, and LiteRT cannot run a network on volumes"):
        check_settings(replace(pictures, image=Image(size=(8, 8, 4))))

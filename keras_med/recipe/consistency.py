"""Settings that are right one by one and contradict each other, refused before anything is read."""

from keras_med.errors import RecipeError
from keras_med.recipe.train import Train
from keras_med.recipe.words import Final, KFold, Recipe, Regression

_OF_NUMBERS = ("mean_squared_error", "mean_absolute_error", "huber")
_OF_CLASSES = ("crossentropy", "focal")


def check_settings(recipe: Recipe) -> None:
    """Refuse settings that contradict each other."""
    _check_ensemble(recipe)
    _check_loss(recipe)
    _check_rate(recipe.train, recipe.final)
    _check_stages(recipe.train, recipe.final)
    _check_precision(recipe)
    _check_cases(recipe)
    _check_threshold(recipe)
    _check_formats(recipe)


def _check_ensemble(recipe: Recipe) -> None:
    final = recipe.final
    if final is None or not final.ensemble:
        return
    if not isinstance(recipe.split, KFold):
        what = f"final.ensemble is the mean of the folds' networks, and split is {type(recipe.split).__name__}."
        raise RecipeError(what, remedy="Give the recipe split=KFold(folds=5), or --set final.ensemble=false.")
    names, plain = ("share", "start", "redraw", "calibration"), Final()
    other = [name for name in names if getattr(final, name) != getattr(plain, name)]
    if other:
        what = f"final.ensemble trains no network after the folds, which final.{other[0]} is for."
        usual = str(getattr(plain, other[0])).lower()
        raise RecipeError(what, remedy=f"--set final.{other[0]}={usual}, or --set final.ensemble=false")


def _check_loss(recipe: Recipe) -> None:
    train, target = recipe.train, type(recipe.target).__name__
    number = isinstance(recipe.target, Regression)
    fitting = ("auto", *(_OF_NUMBERS if number else _OF_CLASSES))
    if train.loss not in fitting:
        raise RecipeError(f"train.loss={train.loss!r} does not fit {target}", remedy=f"One of {', '.join(fitting)}.")
    for name, value, none in (
        ("label_smoothing", train.label_smoothing, "0"),
        ("class_weight", train.class_weight, "none"),
    ):
        if number and value:
            what = f"train.{name} needs classes, and the target is a number."
            raise RecipeError(what, remedy=f"--set train.{name}={none}")


def _check_rate(train: Train, final: Final | None) -> None:
    if train.schedule == "plateau" and final is not None and not final.ensemble:
        what = 'train.schedule="plateau" follows the validation loss, which the final network watches and never uses.'
        raise RecipeError(what, remedy="--set train.schedule=cosine, or leave final= out of the recipe.")
    if train.warmup >= train.epochs:
        what = f"train.warmup={train.warmup} leaves none of the {train.epochs} epochs for training."
        raise RecipeError(what, remedy=f"--set train.warmup={train.epochs // 10}")
    if train.restarts and train.schedule != "cosine":
        raise RecipeError("train.restarts needs cosine annealing.", remedy="--set train.schedule=cosine")
    if train.warmup and (train.restarts or train.schedule == "plateau"):
        other = "train.restarts" if train.restarts else 'train.schedule="plateau"'
        raise RecipeError(f"train.warmup does not go with {other}.", remedy="--set train.warmup=0")


def _check_stages(train: Train, final: Final | None) -> None:
    if train.fine_tune_from is None:
        return
    if train.warmup >= train.fine_tune_epochs:
        what = f"train.warmup={train.warmup} leaves none of the {train.fine_tune_epochs} epochs of the second stage."
        raise RecipeError(what, remedy=f"--set train.fine_tune_epochs={10 * train.warmup}")
    if final is not None and final.start != "new":
        what = "A final network that starts from a fold's weights has no frozen part to fine-tune from."
        raise RecipeError(what, remedy="--set final.start=new, or train.fine_tune_from=none")


def _check_precision(recipe: Recipe) -> None:
    precision = recipe.train.precision
    if precision != "float32" and not recipe.model.head:
        what = f"train.precision={precision} needs the last layer that the trainer adds, which stays float32."
        raise RecipeError(what, remedy="--set train.precision=float32, or leave head=False out of Model.")


def _check_cases(recipe: Recipe) -> None:
    if (recipe.evaluate.unit, recipe.evaluate.combine) == ("patient", "max") and recipe.target.kind != "binary":
        what = "evaluate.combine=max needs a binary target: the highest of several classes are no distribution."
        raise RecipeError(what, remedy="--set evaluate.combine=mean")


def _check_threshold(recipe: Recipe) -> None:
    """Refuse a target sensitivity for which no threshold can be chosen on examples that the network never saw."""
    final = recipe.final
    if final is not None and final.calibration and (final.start != "new" or final.redraw):
        what = "final.calibration sets examples aside that the network must never have seen."
        raise RecipeError(what, remedy='It needs final.start="new" and final.redraw=False.')
    if recipe.evaluate.sensitivity is None:
        return
    if recipe.target.kind != "binary":
        raise RecipeError("evaluate.sensitivity needs a binary target.", remedy="--set evaluate.sensitivity=none")
    if final is None and isinstance(recipe.split, KFold):
        what = "A threshold belongs to one network, and folds without a final network describe a procedure."
        raise RecipeError(what, remedy="Give the recipe final=Final(calibration=0.15), or final=Final(ensemble=True).")
    if final is not None and final.ensemble:
        if isinstance(recipe.split, KFold) and not recipe.split.validation:
            what = "The threshold is chosen on the folds, and split.validation=0 chooses the weights on them too."
            raise RecipeError(what, remedy="--set split.validation=0.1")
        return
    if final is not None and not final.calibration:
        what = "The final network's threshold needs examples that it never saw."
        raise RecipeError(what, remedy="--set final.calibration=0.15")


def _check_formats(recipe: Recipe) -> None:
    """Refuse now what would be refused after the training."""
    volumes = len(recipe.image.size) == 3
    refused = [name for name in recipe.export.formats if volumes and name.startswith("litert")]
    if refused:
        what = f"export.formats has {refused[0]}, and LiteRT cannot run a network on volumes: it has no MaxPool3D."
        raise RecipeError(what, remedy="Leave litert out of the formats.")

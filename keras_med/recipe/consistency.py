"""Settings that are right one by one and contradict each other, refused before anything is read."""

from keras_med.errors import RecipeError
from keras_med.recipe.words import Final, Recipe, Train


def check_settings(recipe: Recipe) -> None:
    """Refuse settings that contradict each other."""
    _check_rate(recipe.train, recipe.final)


def _check_rate(train: Train, final: Final | None) -> None:
    if train.schedule == "plateau" and final is not None:
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

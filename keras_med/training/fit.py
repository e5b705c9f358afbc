"""A fit's folder to a trained network and its predictions."""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data import pipeline
from keras_med.data.identifiers import label_text
from keras_med.errors import DataError, RunFailed
from keras_med.models import weights
from keras_med.recipe.loading import load_recipe
from keras_med.recipe.settings import with_values
from keras_med.recipe.words import Binary, Recipe, Regression
from keras_med.runfolder import FitFolder
from keras_med.training import averages, checkpoint, losses, memory, network, rest, runtime, schedules, tuning
from keras_med.training.checkpoint import State
from keras_med.training.deciding import figures_of
from keras_med.training.examples import Examples
from keras_med.training.features import Features, job_of, prefix_weights
from keras_med.training.folds import FitPlan, read_plan
from keras_med.training.frozen import split_frozen
from keras_med.training.keeper import Keeper, Watched, write_history
from keras_med.training.runtime import Runtime

_LARGEST_BATCH = 256  # of a prediction


def run_fit(folder: Path) -> None:
    """Train what the folder describes, from its checkpoint if it has one; done.json is written last."""
    fit = FitFolder(folder)
    given = runfolder.read_json(fit.settings)
    plan = read_plan(folder)
    recipe = tuning.of_stage(recipe_of(fit), plan)
    machine = Runtime(**given["runtime"])
    runtime.start(machine, plan.seed)
    features = None if plan.head else Features.of(job_of(fit))
    examples = Examples(fit.run, plan.fold, recipe, features, most=plan.examples)
    with runtime.scope(machine) as replicas, runtime.precise(recipe.train.precision):
        model = build_model(recipe, examples, given, features)
        if plan.head:
            tuning.begin(model, recipe, fit.run.fit(plan.head), job_of(fit))
        else:
            take_prefix(model, job_of(fit))
        trained = network.trained_on(model)
        steps = steps_of_epoch(examples, plan, recipe)
        trained.compile(
            network.optimizer_for(recipe, steps), loss=losses.loss_for(recipe), jit_compile=machine.compiled
        )
        state = _begin(trained, plan, fit)
    started = time.monotonic()
    with memory.advised(recipe.train.batch_size, replicas), runtime.shared(machine):
        _train(trained, examples, plan, recipe, fit, state, replicas if machine.shares else 1)
    if plan.keep == "best":
        checkpoint.restore_best(fit.checkpoint, trained, state)
    else:  # also where a stop after the last epoch left only the checkpoint, which holds the weights themselves
        averages.take(trained)
    if recipe.train.precision != "float32" or machine.shares:  # both are for training alone
        used, model = model, build_model(recipe, examples, given, features)
        model.set_weights(used.get_weights())
    runfolder.write_atomically(fit.best, lambda file: model.save(file))
    runfolder.write_csv(fit.predictions, predictions(model, examples, plan, recipe, fit))
    _finish(fit, state, examples, trained, time.monotonic() - started)


def recipe_of(fit: FitFolder) -> Recipe:
    """Return the recipe of a fit's run with the settings that the run was given, and those that a search changed."""
    given = runfolder.read_json(fit.run.settings)
    loaded = load_recipe(f"{fit.run.recipe}:{given['recipe']['name']}")
    changes = runfolder.read_json(fit.settings).get("changes") or {}
    return with_values(with_values(loaded.recipe, given["settings"]), changes)


def build_model(recipe: Recipe, examples: Examples, given: dict[str, Any], features: Features | None) -> keras.Model:
    """Build the network; with features, only what comes after the frozen prefix."""
    alone = rest.build(recipe, examples.label_scale(), features.job) if features is not None else None
    if alone is not None:
        return alone
    with weights.policy(given["weights"], allow_random=given["demo"], seed=given["weights_seed"]):
        model = network.build(recipe, examples.label_scale())
    if features is None:
        return model
    parts = split_frozen(model)
    if parts is None:
        raise RunFailed("The network no longer has the frozen prefix that its features were computed with.")
    return parts[1]


def take_prefix(model: keras.Model, job: Path) -> None:
    """Give a frozen prefix that stays in the network the weights that the features job kept instead of features."""
    parts = split_frozen(model) if "reason" in runfolder.read_json(job / "done.json") else None
    if parts is not None:
        parts[0].set_weights(prefix_weights(job))


def steps_of_epoch(examples: Examples, plan: FitPlan, recipe: Recipe) -> int:
    """Return the steps of one epoch; refuse a batch larger than the data, and a fold without what it watches."""
    count = len(examples.table("train"))
    if count < recipe.train.batch_size:
        what = f"A batch of {recipe.train.batch_size} is larger than the {count} training examples of fold {plan.fold}."
        raise DataError(what, remedy=f"--set train.batch_size={max(1, count // 4)}")
    if not len(examples.table(plan.validation)):
        raise DataError(f"Fold {plan.fold} has no {plan.validation} examples.", remedy="Raise split.validation.")
    return count // recipe.train.batch_size


def _begin(trained: keras.Model, plan: FitPlan, fit: FitFolder) -> State:
    """Set the network to its checkpoint, or to the fit it starts from; the optimizer's variables need the scope."""
    trained.optimizer.build(trained.trainable_variables)
    if plan.start is not None:
        _start_from(trained, fit.run.fit(plan.start))
    if plan.after is not None and not checkpoint.exists(fit.checkpoint):
        checkpoint.take_over(fit.checkpoint, fit.run.fit(plan.after).checkpoint, _identity(plan, fit))
    return checkpoint.restore(fit.checkpoint, trained, _identity(plan, fit))


def _identity(plan: FitPlan, fit: FitFolder) -> str:
    return f"{plan} {runfolder.read_json(fit.settings)['identity']}"


def _train(
    trained: keras.Model,
    examples: Examples,
    plan: FitPlan,
    recipe: Recipe,
    fit: FitFolder,
    state: State,
    shared_by: int,
) -> None:
    """Train from the checkpoint's epoch on; what is finished is not done again."""
    if state.history:  # as the checkpoint has it: a stop may have come between the two
        write_history(fit, state)
    if state.epoch >= plan.epochs or schedules.over(recipe.train, plan.patience, state.history):
        return
    batch = recipe.train.batch_size
    rows = examples.rows("train")
    weights_of_classes = losses.class_weights(recipe, rows.labels)
    validation = examples.rows(plan.validation)
    watched = Watched(validation, batch, weights_of_classes, figures_of(recipe), shared_by=shared_by)
    trained.fit(
        pipeline.training(rows, batch, range(state.epoch, plan.epochs), plan.seed, changes=recipe.augment),
        initial_epoch=state.epoch,
        epochs=plan.epochs,
        steps_per_epoch=len(rows) // batch,
        callbacks=[Keeper(fit, plan, state, _identity(plan, fit), watched, recipe.train)],
        class_weight=weights_of_classes,
        shuffle=False,  # the order is the pipeline's
        verbose=0,
    )


def _start_from(trained: keras.Model, other: FitFolder) -> None:
    """Take over the weights of another fit of the same network."""
    trained.set_weights(keras.models.load_model(other.best, compile=False).get_weights())


def predictions(model: keras.Model, examples: Examples, plan: FitPlan, recipe: Recipe, fit: FitFolder) -> pd.DataFrame:
    """Predict every place of the plan, one row an example."""
    parts = []
    for place in plan.predict:
        table = examples.table(place)
        if not len(table):
            continue
        output = model.predict(pipeline.in_order(examples.rows(place), _batch(recipe)), verbose=0)
        if not np.isfinite(output).all():
            raise RunFailed(f"The network predicts values that are no numbers for {place} examples.")
        columns = prediction_columns(recipe, np.asarray(output))
        parts.append(table[["id"]].assign(fit=fit.path.name, role=place, label=table["label"], **columns))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["id", "fit", "role", "label"])


def prediction_columns(recipe: Recipe, output: np.ndarray) -> dict[str, np.ndarray]:
    """Name the network's outputs as predictions.csv has them."""
    target = recipe.target
    if isinstance(target, Regression):
        return {"predicted": output[:, 0].astype(np.float64)}
    names = [target.positive] if isinstance(target, Binary) else list(target.names)
    return {f"p_{label_text(name)}": output[:, number].astype(np.float64) for number, name in enumerate(names)}


def _batch(recipe: Recipe) -> int:
    """A prediction needs no gradient, so small inputs go in larger batches."""
    return min(_LARGEST_BATCH, 2 * recipe.train.batch_size)


def _finish(fit: FitFolder, state: State, examples: Examples, trained: keras.Model, seconds: float) -> None:
    scale = examples.label_scale()
    outcome = {
        "epochs": state.epoch,
        "best_epoch": state.best_epoch + 1,
        "best_loss": state.best_loss,
        "label_mean": scale.mean,
        "label_deviation": scale.deviation,
        "train": len(examples.table("train")),
        "trained_parameters": int(sum(np.prod(variable.shape) for variable in trained.trainable_variables)),
        "seconds": round(sum(row["seconds"] for row in state.history), 3),
        "wall_seconds": round(seconds, 3),
    }
    runfolder.write_json(fit.done, outcome)

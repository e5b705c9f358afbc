"""The ensemble job: the folds' finished networks to their mean as one network, and its predictions."""

from pathlib import Path

import keras

from keras_med import runfolder
from keras_med.models import ensemble
from keras_med.recipe.words import Binary, Recipe
from keras_med.runfolder import FitFolder
from keras_med.training import network, runtime
from keras_med.training.examples import Examples
from keras_med.training.features import Features, job_of
from keras_med.training.fit import predictions, recipe_of
from keras_med.training.folds import FitPlan, read_plan
from keras_med.training.frozen import graph_hash, split_frozen
from keras_med.training.runtime import Runtime


def run_ensemble(folder: Path) -> None:
    """Write the mean of the members, as they were left at their best epochs, and what it predicts."""
    fit = FitFolder(folder)
    plan, recipe = read_plan(folder), recipe_of(fit)
    runtime.start(Runtime(**runfolder.read_json(fit.settings)["runtime"]), plan.seed)
    features = features_of(fit, plan)
    model, counts = mean_of({_prefix(fit, name): _loaded(fit, name) for name in plan.members}, recipe)
    if features is not None:  # the members begin behind a part that one of them has not
        alone = runfolder.read_json(job_of(fit) / "done.json")["parameters"]["all"] - counts["one"]
        counts = {**counts, "shared": alone}
    runfolder.write_atomically(fit.best, lambda file: model.save(file))
    examples = Examples(fit.run, plan.fold, recipe, features)
    runfolder.write_csv(fit.predictions, predictions(model, examples, plan, recipe, fit))
    parameters = counts["shared"] + len(plan.members) * counts["one"]
    runfolder.write_json(fit.done, {"members": plan.members, "parameters": parameters, "shared": counts["shared"]})


def features_of(fit: FitFolder, plan: FitPlan) -> Features | None:
    """Return the features that a fit's network, or its members', begins with; None where it begins with images."""
    stages = [plan, *(read_plan(fit.run.fit(name).path) for name in plan.members)]
    on_images = any(each.head for each in stages)  # the second stage saves the whole
    return None if on_images else Features.of(job_of(fit))


def mean_of(models: dict[str, keras.Model], recipe: Recipe) -> tuple[keras.Model, dict[str, int]]:
    """Join the networks, with their frozen part once if it is the same in all; count what is shared and what is not."""
    first = next(iter(models.values()))
    parts = [split_frozen(model) for model in models.values()]
    known = [part for part in parts if part is not None]
    alike = len(known) == len(parts) and len({graph_hash(prefix) for prefix, _ in known}) == 1
    prefix = known[0][0] if alike else None
    rests = [rest for _, rest in known] if alike else list(models.values())
    image = prefix.inputs[0] if prefix else keras.Input(first.inputs[0].shape[1:], name="image")
    ends = [network.up_to_logits(rest) for rest in rests]
    has_logits = ends[0] is not rests[0]
    squash = ("sigmoid" if isinstance(recipe.target, Binary) else "softmax") if has_logits else None
    start, named = prefix.outputs[0] if prefix else image, dict(zip(models, ends, strict=True))
    mean = ensemble.joined(start, named, squash, network.PROBABILITY if has_logits else network.PREDICTED)
    counts = {"one": rests[0].count_params(), "shared": prefix.count_params() if prefix else 0}
    return keras.Model(image, mean, name="model"), counts


def _prefix(fit: FitFolder, name: str) -> str:
    return f"fold{read_plan(fit.run.fit(name).path).fold}"


def _loaded(fit: FitFolder, name: str) -> keras.Model:
    return keras.models.load_model(fit.run.fit(name).best, compile=False)

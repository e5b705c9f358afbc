"""The preflight job: a network and a few training examples to what would make hours of training useless."""

import time
import warnings
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

import keras
import numpy as np

from keras_med import runfolder
from keras_med.data.identifiers import label_text
from keras_med.errors import RecipeError
from keras_med.recipe.words import Binary, Recipe, Regression
from keras_med.runfolder import FitFolder
from keras_med.training import losses, network, runtime, speed
from keras_med.training.examples import Examples
from keras_med.training.features import Features, job_of
from keras_med.training.fit import build_model, recipe_of, steps_of_epoch, take_prefix
from keras_med.training.folds import read_plan
from keras_med.training.runtime import Runtime
from keras_med.training.speed import Speed

_SAMPLE = 64
_BATCH = 8
_FIRST_LOSS = 4.0  # times the loss of a guess, above which the first one is told
_SPREAD = 1e-3  # of logits, or of numbers in deviations of the labels, below which all answers are one
_LEARNED = 0.5  # of its first loss, below which a batch counts as learned
_RATES = (1e-3, 1e-2, 1e-4)
_SECONDS = 6.0  # for each rate
_STEPS = 300  # that a rate has; a batch that was not learned in fewer means nothing
_STAGES = ("", " in the second stage")
_LONGEST_WAIT = 0.5  # of the time, above which training waits for its images


@dataclass(frozen=True)
class Check:
    """What is wrong: red where the training would be useless, amber where it deserves a look."""

    name: str
    severity: str
    sentence: str
    remedy: str


@dataclass(frozen=True)
class Sample:
    """A few training examples.

    images: prepared, and as the network takes them (features, where it has a frozen prefix).
    labels: as the loss takes them.
    """

    images: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray


@dataclass
class Found:
    """Checks, and the lines that are said even when all is well."""

    checks: list[Check] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def add(self, check: Check | None) -> bool:
        """Keep a check, if it is one, and tell whether it is."""
        if check is not None:
            self.checks.append(check)
        return check is not None


def run_preflight(folder: Path) -> None:
    """Examine the network of the plan; done.json holds the checks, the lines and the speed."""
    job = FitFolder(folder)
    given, plan, recipe = runfolder.read_json(job.settings), read_plan(folder), recipe_of(job)
    machine = Runtime(**given["runtime"])
    runtime.start(machine, plan.seed)
    features = Features.of(job_of(job))
    examples = Examples(job.run, plan.fold, recipe, features, most=plan.examples)
    steps_of_epoch(examples, plan, recipe)
    # One device, whatever the fits have: Keras' calls for a single batch give every replica the whole of it.
    with runtime.precise(recipe.train.precision):
        model = build_model(recipe, examples, given, features)
        take_prefix(model, job_of(job))
        trained = network.trained_on(model)
        loss = losses.loss_for(recipe, smoothed=False)  # the smoothed loss of a network that learned all has a floor
        trained.compile(keras.optimizers.Adam(_RATES[0]), loss=loss, jit_compile=machine.compiled)
    trained.optimizer.build(trained.trainable_variables)
    found = Found()
    backbones = [used["backbone"] for used in runfolder.read_json(job_of(job) / "done.json")["weights"]]
    sample = _sample(Examples(job.run, plan.fold, recipe), examples)
    examine(found, trained, sample, recipe, examples.label_scale(), backbones)
    found.add(_classes(found, recipe, examples))
    speeds = [speed.measured(trained, examples, recipe, plan.seed)] if not found.checks else []
    if speeds and recipe.train.fine_tune_from is not None:
        speeds.append(speed.of_second_stage(job, plan, recipe))
    _ahead(found, speeds, given["steps"], "training after the search" if recipe.search else "training")
    checks, seconds = [asdict(check) for check in found.checks], speeds[0].both if speeds else None
    runfolder.write_json(job.done, {"checks": checks, "lines": found.lines, "seconds_a_step": seconds})


def examine(
    found: Found,
    trained: keras.Model,
    sample: Sample,
    recipe: Recipe,
    scale: network.LabelScale,
    backbones: list[str],
) -> None:
    """Add what is wrong with the network; what is only the echo of another check is left out."""
    if backbones:
        found.add(_range(sample.images, backbones[0]))
    output = keras.ops.convert_to_numpy(trained.predict_on_batch(sample.inputs))
    _check_numbers(output)
    found.add(_first_loss(found, trained, sample, output, recipe, scale))
    if found.add(_constant(output, scale)):
        return
    learned, idle = _overfitted(trained, _varied(sample))
    if not found.add(_gradients(idle)):
        found.add(_learned(learned))


def _check_numbers(output: np.ndarray) -> None:
    """Refuse a network that answers with NaN or infinity: no training mends it."""
    if bad := int((~np.isfinite(output)).any(axis=1).sum()):
        what = f"Before any training its output is NaN or infinite for {bad} of {len(output)} training images."
        remedy = "Look for a division by zero, a logarithm or root of what may be negative, or broken weights."
        raise RecipeError(what, where="network()", remedy=remedy)


def _range(images: np.ndarray, backbone: str) -> Check | None:
    low, high = float(images.min()), float(images.max())
    if low >= 0 and 2 < high <= 255:
        return None
    what = f"{backbone} takes pixels of 0 to 255; the prepared images lie between {low:.3g} and {high:.3g}."
    return Check("range", "red", what, "Set image.values so that they become 0 to 255, for example (low, high).")


def _first_loss(
    found: Found,
    trained: keras.Model,
    sample: Sample,
    output: np.ndarray,
    recipe: Recipe,
    scale: network.LabelScale,
) -> Check | None:
    first, guess = _loss(trained, sample.labels, output), _loss(trained, sample.labels, _guess(output, recipe, scale))
    found.lines.append(f"first loss {first:.3g}, of a guess {guess:.3g}")
    if first <= _FIRST_LOSS * max(guess, 1e-6):
        return None
    what = f"The loss before training is {first:.3g}; a guess that looks at no image has {guess:.3g}."
    return Check(
        "first_loss", "amber", what, "Normalise what reaches the last layer, or start it from smaller weights."
    )


def _guess(output: np.ndarray, recipe: Recipe, scale: network.LabelScale) -> np.ndarray:
    """Return the answer of one who knows the labels' mean, or nothing."""
    if isinstance(recipe.target, Regression):
        return np.full_like(output, scale.mean)
    return np.full_like(output, 0 if recipe.model.head else 1 / max(2, output.shape[1]))


def _loss(trained: keras.Model, labels: np.ndarray, output: np.ndarray) -> float:
    return float(keras.ops.convert_to_numpy(trained.loss(labels, output)))


def _constant(output: np.ndarray, scale: network.LabelScale) -> Check | None:
    spread = float(np.ptp(output, axis=0).max()) / scale.deviation
    if spread > _SPREAD:
        return None
    what = f"The network gives every image the same answer (they differ by {spread:.1g}), so there is nothing to train."
    remedy = "Look for a layer that lets nothing pass; a frozen backbone needs its published weights."
    return Check("constant", "red", what, remedy)


def _gradients(idle: list[str]) -> Check | None:
    if not idle:
        return None
    shown = ", ".join(idle[:3]) + (f" and {len(idle) - 3} more" if len(idle) > 3 else "")
    what = f"The gradient does not reach {shown}: training will leave {'it' if len(idle) == 1 else 'them'} as they are."
    return Check("gradients", "red", what, "Connect the layer to the output, or set its trainable to False.")


def _learned(ratio: float) -> Check | None:
    if ratio < _LEARNED:
        return None
    what = f"Trained on {_BATCH} examples alone, the network keeps {100 * min(ratio, 1):.0f} % of its first loss."
    return Check(
        "overfit", "red", what, "Look at its last layers: a network that cannot learn 8 examples learns no more."
    )


def _overfitted(trained: keras.Model, batch: tuple[np.ndarray, np.ndarray]) -> tuple[float, list[str]]:
    """Train on one batch, from the first weights at each rate; return what is left of the loss, and idle layers."""
    if not trained.optimizer.built:
        trained.optimizer.build(trained.trainable_variables)
    first = [np.array(variable) for variable in _everything(trained)]
    left, moved = [], set[str]()
    for rate in _RATES:
        _set(trained, first)
        trained.optimizer.learning_rate = rate
        ratio, names = _trained_on_one(trained, batch)
        left.append(ratio)
        moved |= names
        if ratio < _LEARNED:
            break
    _set(trained, first)
    idle = [layer.name for layer in trained.layers if layer.trainable_variables and layer.name not in moved]
    return min(left), idle


def _everything(trained: keras.Model) -> list[keras.Variable]:
    return [*trained.weights, *trained.optimizer.variables]


def _set(trained: keras.Model, values: list[np.ndarray]) -> None:
    for variable, value in zip(_everything(trained), values, strict=True):
        variable.assign(value)


def _trained_on_one(trained: keras.Model, batch: tuple[np.ndarray, np.ndarray]) -> tuple[float, set[str]]:
    """Return the loss as a share of the first, 0 where time was too short to judge, and the layers that changed."""
    layers = [layer for layer in trained.layers if layer.trainable_variables]
    before = {layer.name: [np.array(variable) for variable in layer.trainable_variables] for layer in layers}
    started, losses = time.monotonic(), list[float]()
    while len(losses) < _STEPS and time.monotonic() - started < _SECONDS:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Gradients do not exist")  # told as a check
                losses.append(float(np.ravel(trained.train_on_batch(*batch))[0]))
        except ValueError:  # "No gradients provided for any variable"
            return 1.0, set()
        if len(losses) == 1:
            started = time.monotonic()  # the first step is compiled
        if losses[-1] < _LEARNED * losses[0] / 2:
            break
    names = {layer.name for layer in layers if _changed(before[layer.name], layer.trainable_variables)}
    share = float(np.nanmin(losses[-10:])) / max(losses[0], 1e-12)
    return (share if share < _LEARNED or len(losses) == _STEPS else 0.0), names


def _changed(before: list[np.ndarray], variables: list[keras.Variable]) -> bool:
    return any(not np.array_equal(old, new) for old, new in zip(before, variables, strict=True))


def _varied(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Choose a batch whose labels are as different as the sample has them."""
    order = np.argsort(sample.labels.reshape(len(sample.labels), -1)[:, 0], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, _BATCH).astype(int)]
    return sample.inputs[chosen], sample.labels[chosen]


def _sample(pictures: Examples, examples: Examples) -> Sample:
    """Read a few training rows, spread over the table, as images and as the network takes them."""
    rows = examples.rows("train")
    at = np.unique(np.linspace(0, len(rows) - 1, _SAMPLE).astype(int))
    return Sample(pictures.rows("train").read(at), rows.read(at), rows.labels[at])


def _classes(found: Found, recipe: Recipe, examples: Examples) -> Check | None:
    """Say which output is which class, and find the classes that training never sees."""
    target = recipe.target
    if isinstance(target, Regression):
        return None
    counts = examples.table("train")["label"].astype(str).value_counts()
    if isinstance(target, Binary):
        positive = label_text(target.positive)
        others = ", ".join(f"{name} ({number})" for name, number in counts.items() if name != positive)
        found.lines.append(f"positive is {positive} ({counts.get(positive, 0)}), negative {others or 'nothing'}")
        absent = [name for name, there in ((positive, positive in counts), ("any other", bool(others))) if not there]
    else:
        names = [label_text(name) for name in target.names]
        told = ", ".join(f"{number} {name} ({counts.get(name, 0)})" for number, name in enumerate(names))
        found.lines.append(f"outputs are {told}")
        absent = [name for name in names if name not in counts]
    if not absent:
        return None
    what = f"No training example has the label {', '.join(absent)}: the network cannot learn it."
    return Check("classes", "red", what, "Compare the labels of the table with the recipe's target.")


def _ahead(found: Found, speeds: list[Speed], steps: list[int], what: str) -> None:
    """Say how long training takes at most, and whether it waits for its images."""
    if not speeds:
        return
    told = " and ".join(f"{each.both:.3g} s a step{stage}" for each, stage in zip(speeds, _STAGES, strict=False))
    seconds = sum(each.both * count for each, count in zip(speeds, steps, strict=True))
    found.lines.append(f"{told}, so at most about {timedelta(seconds=round(seconds))} of {what}")
    slowest = max(speeds, key=lambda each: each.both)
    found.add(_waiting(slowest.wait, slowest.step))


def _waiting(wait: float, step: float) -> Check | None:
    if wait < 0.005 or wait <= _LONGEST_WAIT * (wait + step):
        return None
    what = f"Training waits {wait:.2g} s for the images of a step that takes {step:.2g} s."
    return Check("speed", "amber", what, "Put --cache on a faster disk, or augment less.")

"""A network to the golden images that its export is held to, and to what it answers to them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_med.errors import RunFailed
from keras_med.export import golden

if TYPE_CHECKING:
    import keras

SEED = 20
_POOLS = (1.25, 2.0)  # images tried for each golden one that is kept; the second where the first say too little
_BATCH_VALUES = 2**23  # values in one batch

Answers = dict[str, np.ndarray]


def record(
    models: Mapping[str, "keras.Model"], shape: tuple[int, ...], description: Mapping[str, Any]
) -> dict[str, Any]:
    """Choose the golden images and return what keras_med.json says of them.

    Args:
        models: by output of the export: `serve`, and where there are, `logits` and `members`; all of one image.
    """
    import keras

    every = keras.Model(models["serve"].inputs, {name: model.outputs[0] for name, model in models.items()})
    count, needed = golden.count_for(shape), _needed_span(models, description)
    asked = "logits" if "logits" in models else "serve"
    tried: list[tuple[np.ndarray, Answers, np.ndarray]] = []
    for share in _POOLS:
        tried.append(_tried(every, range(sum(len(pool) for pool, _, _ in tried), int(share * count)), shape))
        pool, unsteadiness = (np.concatenate([one[part] for one in tried]) for part in (0, 2))
        outputs = {name: np.concatenate([answers[name] for _, answers, _ in tried]) for name in models}
        chosen = golden.choose(outputs[asked], unsteadiness, count)
        reached, steady = golden.span(outputs[asked][chosen]), (unsteadiness <= golden.STEADY).sum()
        if reached >= needed and steady >= count:
            break
    said = {name: answers[chosen].tolist() for name, answers in outputs.items()}
    return {
        "seed": SEED,
        "indices": chosen,
        "count": len(chosen),
        "shape": list(shape),
        "fingerprint": golden.fingerprint(pool[chosen]),
        "outputs": said[asked],
        "served": said["serve"],
        **({"members": said["members"]} if "members" in said else {}),
        "before_activation": asked == "logits",
        "span": reached,
        "needed_span": needed,
        "weak": reached < needed,
        "unsteady": int((unsteadiness > golden.STEADY).sum()),
    }


def _tried(
    every: "keras.Model", indices: Sequence[int], shape: tuple[int, ...]
) -> tuple[np.ndarray, Answers, np.ndarray]:
    """Return golden images, what the network answers to them, and how unsteady the answers before a squashing are."""
    pool = golden.images(SEED, indices, shape)
    outputs = _predicted(every, pool)
    if not all(np.isfinite(each).all() for each in outputs.values()):
        raise RunFailed("The network answers with numbers that are not finite.", remedy="It must be trained again.")
    trembled = _predicted(every, golden.trembling(pool))
    held = [name for name in outputs if name != "serve" or "logits" not in outputs]
    shares = [golden.share_of_tolerance(outputs[name], trembled[name]) for name in held]
    return pool, outputs, np.concatenate(shares, axis=1).max(axis=1)


def _predicted(every: "keras.Model", images: np.ndarray) -> Answers:
    """Return `predict` on the images, one row each, without a float copy of all of them at once."""
    batch = max(1, min(32, _BATCH_VALUES // images[0].size))
    every.jit_compile = False  # a processor is what answers here, and XLA makes it 8 times slower
    parts = [
        every.predict(images[start : start + batch].astype(np.float32, copy=False), batch_size=batch, verbose=0)
        for start in range(0, len(images), batch)
    ]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {name: found.reshape(len(images), -1).astype(np.float32) for name, found in rows.items()}


def _needed_span(models: Mapping[str, "keras.Model"], description: Mapping[str, Any]) -> float:
    """Return what golden outputs must span to be worth comparing: 4 logits, 20 years, one label deviation."""
    import keras

    from keras_med.models import ensemble

    target = description.get("target") or {}
    if "logits" in models or target.get("kind") != "regression":
        return 4.0
    last = [one.layers[-1] for one in ensemble.members(models["serve"]) or [models["serve"]]]
    if target.get("unit") in ("year", "years") or not all(isinstance(one, keras.layers.Rescaling) for one in last):
        return 20.0
    return float(np.max([np.abs(one.scale) for one in last]))

"""A run's finished fits to predictions.csv and what metrics.json says of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from keras_med import runfolder
from keras_med.data.dataset import UNLABELLED, read_index
from keras_med.evaluation import decision, gathering, simple
from keras_med.evaluation.decision import Decision
from keras_med.evaluation.gap import gap_checks
from keras_med.evaluation.protocol import protocol_checks
from keras_med.evaluation.summary import Scoring, summarise
from keras_med.evaluation.tails import tail_checks
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import KFold, Recipe
from keras_med.runfolder import RunFolder
from keras_med.training import folds, knowledge, preflight, stages


def scoring_of(recipe: Recipe, target: Mapping[str, Any]) -> Scoring:
    """Return how a run's predictions are scored; `target` is what settings.json holds."""
    case, seed = recipe.evaluate, seed_for(recipe.seed, "bootstrap")
    return Scoring(target["kind"], target["unit"], target["classes"], seed, case.unit, case.combine)


def figures(run: RunFolder, recipe: Recipe, names: Sequence[str], scoring: Scoring) -> dict[str, Any]:
    """Write predictions.csv, and return every figure, the decision that goes with the exported network, and checks."""
    predictions = folds.with_roles(gathering.gathered({name: run.fit(name).predictions for name in names}))
    runfolder.write_csv(run.predictions, predictions)
    index, parts = read_index(run.index), pd.read_csv(run.splits, dtype=str, keep_default_na=False)
    plans = {name: folds.read_plan(run.fit(name).path) for name in names}
    scored = gathering.with_patients(predictions[predictions["role"] != UNLABELLED], index)
    made = _decision(scored, index, parts, recipe, scoring)
    if made is not None:
        scoring = made.scoring(scoring)
    fewer = recipe.data.balance == "undersample"
    labels = {
        name: gathering.labels_of(index, parts, plan.fold, undersampled=fewer, scoring=scoring)
        for name, plan in plans.items()
    }
    exported = plans.get(folds.exported_fit(recipe) or "none")
    start = exported.start if exported else None
    flattered = knowledge.flattered(scored, knowledge.known_groups(plans, parts, index, recipe), plans, parts, scoring)
    linear = simple.against_linear(
        scored, index, parts, {name: plan.fold for name, plan in plans.items()}, recipe.image, scoring
    )
    protocol = protocol_checks(recipe, parts, plans[start].fold if start else None)
    checks = [
        *protocol,
        *knowledge.checks(flattered),
        *preflight.checks(run),
        *stages.checks(run, plans),
        *(made.checks() if made else []),
    ]
    summary = summarise(scored, labels, scoring)
    return {
        **summary,
        **(made.to_json(decision.effect(scored, made, scoring)) if made else {}),
        "linear": linear,
        "checks": [
            *checks,
            *gap_checks(summary, scored, scoring),
            *simple.checks(linear),
            *tail_checks(scored, scoring),
        ],
        "flattery": flattered,
        "ensemble": runfolder.read_json(run.fit(folds.ENSEMBLE).done) if folds.ENSEMBLE in plans else None,
    }


def _decision(
    scored: pd.DataFrame, index: pd.DataFrame, splits: pd.DataFrame, recipe: Recipe, scoring: Scoring
) -> Decision | None:
    fold = folds.exported_fold(recipe)
    if fold is None:
        return None
    part, fit = decision.unseen_part(recipe), str(folds.exported_fit(recipe))
    own = scored["role"] == part
    if part != decision.OUT_OF_FOLD:
        own &= scored["fit"] == fit
    elif isinstance(recipe.split, KFold) and not recipe.split.validation:  # then the folds chose their own weights
        return None
    priors = decision.changed_priors(index, splits, fold, recipe, scoring)
    return decision.decide(scored[own], scoring, recipe, priors, fit=fit)

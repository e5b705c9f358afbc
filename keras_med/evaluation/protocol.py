"""A recipe's protocol to what is wrong with it: the checks that stand in red beside the figure they flatter."""

import pandas as pd

from keras_med.recipe.words import Final, KFold, Recipe

Check = dict[str, str]


def protocol_checks(recipe: Recipe, splits: pd.DataFrame, start_fold: str | None) -> list[Check]:
    """Return a check for each way in which the protocol itself makes figures better than they are.

    Args:
        splits: splits.csv.
        start_fold: the fold whose best weights the final network started from, if it did.
    """
    checks = []
    if isinstance(recipe.split, KFold) and recipe.split.validation == 0:
        checks.append(
            _red(
                "Early stopping and the best weights were chosen on the same fold that is scored, so the out-of-fold "
                "figures are too good.",
                "Set split.validation to 0.1: it cuts the validation part from the training side.",
            )
        )
    if recipe.final is not None and start_fold is not None:
        checks.append(_seen_before(splits, start_fold, recipe.final))
    return checks


def _seen_before(splits: pd.DataFrame, start_fold: str, final: Final) -> Check:
    watched = set(splits.loc[(splits["fold"] == "final") & (splits["split"] == "validation"), "id"])
    trained = set(splits.loc[(splits["fold"] == start_fold) & (splits["split"] == "train"), "id"])
    seen = len(watched & trained)
    share = 100 * seen / max(1, len(watched))
    drawn = "from all labelled examples, the test split included" if final.redraw else "from the training side"
    return _red(
        f"The final network starts from the weights of fold {start_fold}, and {seen} of the {len(watched)} examples "
        f"({share:.0f} %) that it is scored on were in that fold's training part: they were drawn {drawn}.",
        'Set final.start to "new" and final.redraw to false, and read the test split instead.',
    )


def _red(sentence: str, remedy: str) -> Check:
    return {"severity": "red", "sentence": sentence, "remedy": remedy}

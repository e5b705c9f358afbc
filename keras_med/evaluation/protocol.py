"""A recipe's protocol to what is wrong with it: the checks that stand in red beside the figure they flatter."""

import pandas as pd

from keras_med.data.copies import MARK, original
from keras_med.recipe.words import Column, Final, KFold, Recipe

Check = dict[str, str]

_SIDES = ("train", "validation", "calibration", "out_of_fold", "test")


def protocol_checks(recipe: Recipe, splits: pd.DataFrame, start_fold: str | None) -> list[Check]:
    """Return a check for each way in which the protocol itself makes figures better than they are.

    Args:
        splits: splits.csv, whose groups are those of patients, twins and copies.
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
    if isinstance(recipe.split, KFold) and recipe.search is not None:
        checks.append(_searched(recipe.final))
    checks += _data_checks(recipe, splits)
    if recipe.final is not None and start_fold is not None:
        checks.append(_seen_before(splits, start_fold, recipe.final))
    return checks


def _searched(final: Final | None) -> Check:
    sentence = "The search chose the settings on examples that the folds score too: out-of-fold figures flatter"
    if final is not None and final.ensemble:
        sentence += ", and the ensemble's threshold was chosen on the same"
    remedy = "Quote the test split's figures: it had no part in the search."
    return {"severity": "amber", "sentence": f"{sentence}.", "remedy": remedy}


def _data_checks(recipe: Recipe, splits: pd.DataFrame) -> list[Check]:
    """Tell what was done to the data before they were divided, or to the division, with its count."""
    checks = []
    if recipe.data.mirror == "before_split":
        checks.append(_mirrored_pairs(splits))
    elif recipe.data.duplicates == "allow" or getattr(recipe.split, "by", "") == "example":
        checks += _cut_groups(recipe, splits)
    if recipe.data.balance == "undersample_before_split":
        left_out = splits[(splits["fold"] == splits["fold"].iloc[0]) & (splits["split"] == "unused")]["id"].nunique()
        checks.append(
            _red(
                f"The larger classes were undersampled before the split ({left_out} examples left out), so the scored "
                "examples do not have the data's shares of the classes: precision, accuracy and the threshold hold for "
                "no real population.",
                'Set data.balance to "undersample": it leaves validation and test as they are.',
            )
        )
    if isinstance(recipe.split, Column) and recipe.split.watch == "test":
        checks.append(
            _red(
                "The best weights were chosen by their loss on the test split itself, so its figures are too good.",
                'Set split.watch to "validation".',
            )
        )
    return checks


def _mirrored_pairs(splits: pd.DataFrame) -> Check:
    pictures = original(splits["id"])
    pairs = pictures[splits["id"].str.endswith(MARK)].nunique()
    return _red(
        f"{_crossing(splits, pictures)} of the {pairs} pictures lie on another side of the split than their mirrored "
        "copy, because all were mirrored before the split: the network is scored on pictures that it has seen.",
        'Set data.mirror to "training": copies then train beside their pictures and are never scored.',
    )


def _cut_groups(recipe: Recipe, splits: pd.DataFrame) -> list[Check]:
    cut = _crossing(splits, splits["group"])
    if not cut:
        return []
    if recipe.data.duplicates == "allow":
        why, remedy = 'data.duplicates is "allow"', 'Set data.duplicates to "group".'
    else:
        why, remedy = "each example was divided alone", 'Set split.by to "patient".'
    return [_red(f"{cut} patients or groups of twins lie on two sides of the split: {why}.", remedy)]


def _crossing(splits: pd.DataFrame, key: pd.Series) -> int:
    """Count the keys that lie on two sides of any fold."""
    used = splits["split"].isin(_SIDES)
    sides = splits[used].groupby([splits["fold"][used], key[used]])["split"].nunique()
    return int(sides[sides > 1].index.get_level_values(1).nunique())


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

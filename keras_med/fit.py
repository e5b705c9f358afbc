"""python -m keras_med.fit FOLDER: train one fit's folder, or continue it."""

import argparse
from pathlib import Path

from keras_med import runfolder, terminal
from keras_med.errors import RecipeError


def command(arguments: argparse.Namespace) -> int:
    """Train the folder; one that is done is left alone."""
    fit = runfolder.FitFolder(arguments.folder.absolute())
    if not fit.settings.is_file():
        raise RecipeError("This is no fit: it has no settings.json.", where=str(fit.path))
    if not runfolder.read_json(fit.settings).get("plan", {}).get("epochs"):
        raise RecipeError("This is no fit: its settings.json plans no training.", where=str(fit.path))
    if not fit.done.is_file():
        import os

        from keras_med.training import runtime

        machine = runtime.Runtime(**runfolder.read_json(fit.settings)["runtime"])
        os.environ.update(runtime.environment(machine))
        from keras_med.training.fit import run_fit

        run_fit(fit.path)
    outcome = runfolder.read_json(fit.done)
    print(f"{fit.path.name}: {outcome['epochs']} epochs, best {outcome['best_epoch']}, loss {outcome['best_loss']:.4g}")
    return 0


if __name__ == "__main__":
    made = terminal.parser("fit", "Train one fit's folder of a run, or continue it.")
    made.add_argument("folder", type=Path, metavar="FOLDER", help="runs/<recipe>/<run>/fits/<fit>")
    terminal.main(command, made)

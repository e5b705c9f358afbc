"""python -m keras_med.run RECIPE: train what a recipe says and report what came of it."""

import argparse
import json
import shlex
import sys

from keras_med import terminal
from keras_med.recipe.opening import Options, read_recipe
from keras_med.recipe.settings import settings_of


def command(arguments: argparse.Namespace) -> int:
    """Run, plan, or list the settings."""
    terminal.check_backend()
    chosen = vars(arguments)
    names = (
        "data",
        "weights",
        "out",
        "cache",
        "devices",
        "fits_at_once",
        "resume",
        "smoke",
        "deterministic",
        "no_test",
    )
    options = Options(arguments.recipe, tuple(arguments.assignments), **{name: chosen[name] for name in names})
    if arguments.help_settings:
        for setting in settings_of(read_recipe(options).recipe).values():
            print(f"{setting.name} = {setting.value!r}\n    {setting.meaning} ({setting.expected})")
        return 0
    read_recipe(options)  # what is wrong in the recipe is told before pandas and the rest are imported
    from keras_med import experiment
    from keras_med.report import closing

    if arguments.plan:
        plan = experiment.plan_recipe(options)
        print(json.dumps(plan.to_json()) if arguments.json else "\n".join(plan.lines()))
        return 0
    typed = shlex.join(["python", "-m", "keras_med.run", *sys.argv[1:]])
    print(closing.result(experiment.run_recipe(options, typed), as_json=arguments.json))
    return 0


def parser() -> terminal.Parser:
    """Return the command's arguments."""
    made = terminal.parser("run", "Train what a recipe says and report what came of it.")
    made.add_argument("recipe", metavar="RECIPE", help="FILE.py, or FILE.py:name")
    terminal.add_recipe_arguments(made)
    made.add_argument("--resume", nargs="?", const="", metavar="RUN", help="continue the newest run, or the one named")
    for name, meaning in (
        ("plan", "say what the run would cost, and stop"),
        ("smoke", "the whole path once: a few examples, one epoch"),
        ("deterministic", "ask the backend for repeatable operations"),
        ("no-test", "leave the test split unscored"),
        ("json", "print the result as JSON"),
        ("help-settings", "list every setting with its value, its meaning and what it may be"),
    ):
        made.add_argument(f"--{name}", action="store_true", help=meaning)
    return made


if __name__ == "__main__":
    terminal.main(command, parser())

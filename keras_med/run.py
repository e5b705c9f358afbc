"""python -m keras_med.run RECIPE: train what a recipe says and report what came of it."""

import argparse
import json
import shlex
import sys

from keras_med import terminal
from keras_med.recipe import settings
from keras_med.recipe.opening import Options, read_recipe


def command(arguments: argparse.Namespace) -> int:
    """Run, plan, or list the settings; what is wrong in the recipe is told before the heavy packages are imported."""
    terminal.check_backend()
    options = Options.of(arguments)
    recipe = read_recipe(options).recipe
    if arguments.help_settings:
        print("\n".join(settings.lines(recipe)))
        return 0
    if arguments.plan:
        from keras_med import planning

        plan = planning.plan_recipe(options)
        print(json.dumps(plan.to_json()) if arguments.json else "\n".join(plan.lines()))
        return 0
    from keras_med import experiment
    from keras_med.report import closing

    typed = shlex.join(["python", "-m", "keras_med.run", *sys.argv[1:]])
    print(closing.result(experiment.run_recipe(options, typed), as_json=arguments.json))
    return 0


if __name__ == "__main__":
    made = terminal.parser("run", "Train what a recipe says and report what came of it.")
    made.add_argument("recipe", metavar="RECIPE", help="FILE.py, or FILE.py:name")
    terminal.add_recipe_arguments(made)
    terminal.add_run_arguments(made)
    terminal.main(command, made)

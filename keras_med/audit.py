"""python -m keras_med.audit RECIPE: look for what makes results wrong; audit FOLDER --write my.py: a starter recipe."""

import argparse
from pathlib import Path

from keras_med import terminal
from keras_med.errors import DataError, RecipeError
from keras_med.recipe.opening import Options, read_recipe


def command(arguments: argparse.Namespace) -> int:
    """Audit a recipe's data, or write a recipe for a folder."""
    if arguments.write:
        from keras_med.data.starter import write_starter

        print(write_starter(Path(arguments.recipe), arguments.labels, arguments.write))
        terminal.say(f"Next: python -m keras_med.run {arguments.write} --data {arguments.recipe}")
        return 0
    if Path(arguments.recipe).is_dir():
        remedy = f"python -m keras_med.audit {arguments.recipe} --write my.py"
        raise RecipeError("A folder is audited through a recipe; one can be written for it.", remedy=remedy)
    options = Options.of(arguments)
    loaded = read_recipe(options)
    from keras_med.data.examine import examine_alone

    examined, demo = examine_alone(loaded, options)
    print("\n".join(["DEMO DATA"] * demo + examined.lines()))
    blocked = bool(examined.audit.blocking)
    data = f" --data {arguments.data}" if arguments.data else ""
    terminal.say("A run would stop here." if blocked else f"Next: python -m keras_med.run {arguments.recipe}{data}")
    return DataError.exit_code if blocked else 0


if __name__ == "__main__":
    made = terminal.parser("audit", "Look for what makes results wrong, or write a starter recipe for a folder.")
    made.add_argument("recipe", metavar="RECIPE|FOLDER", help="FILE.py, FILE.py:name, or with --write a data folder")
    terminal.add_recipe_arguments(made)
    made.add_argument("--write", type=Path, metavar="MY.py", help="write a starter recipe for the folder")
    made.add_argument("--labels", type=Path, metavar="CSV", help="the folder's labels")
    terminal.main(command, made)

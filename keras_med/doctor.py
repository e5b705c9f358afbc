"""python -m keras_med.doctor: what works on this machine, what is missing, and the line that mends it."""

import argparse
from pathlib import Path

from keras_med import terminal
from keras_med.errors import EnvironmentProblem


def command(arguments: argparse.Namespace) -> int:
    """Look at this machine; 4 if something is broken, 0 if things are merely absent."""
    terminal.check_backend()
    from keras_med.machine import examine

    examined = examine(weights=arguments.weights, cache=arguments.cache, quick=arguments.quick)
    print(examined.to_json() if arguments.json else "\n".join(examined.lines()))
    if examined.broken:
        terminal.say("Something is broken: the lines above say what mends it.")
        return EnvironmentProblem.exit_code
    terminal.say("Next: python -m keras_med.run RECIPE")
    return 0


if __name__ == "__main__":
    made = terminal.parser("doctor", "Look at devices, decoders, weights, memory and disk, and say what mends them.")
    made.add_argument("--weights", type=Path, metavar="DIR", help="folder with ImageNet weight files")
    made.add_argument("--cache", type=Path, metavar="DIR", help="for prepared data; else $KERAS_MED_CACHE")
    made.add_argument("--quick", action="store_true", help="leave out the training on two devices")
    made.add_argument("--json", action="store_true", help="print the findings as JSON")
    terminal.main(command, made)

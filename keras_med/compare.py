"""python -m keras_med.compare RUN RUN: how much better one run is than another on the same examples."""

import argparse
from pathlib import Path

from keras_med import terminal


def command(arguments: argparse.Namespace) -> int:
    """Compare two runs and tell each metric's difference."""
    from keras_med.report.compare import compare

    found = compare(arguments.first, arguments.second)
    if arguments.json:
        print(found.to_json())
    else:
        print("\n".join(found.lines()))
        terminal.say(f"Next: open {arguments.first / 'report.html'}")
    return 0


if __name__ == "__main__":
    made = terminal.parser("compare", "Say how much better one run is than another on the same examples.")
    made.add_argument("first", type=Path, metavar="RUN", help="a run folder, or runs/<recipe> for its newest")
    made.add_argument("second", type=Path, metavar="RUN", help="the run to compare it with")
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    terminal.main(command, made)

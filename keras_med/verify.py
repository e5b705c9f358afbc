"""python -m keras_med.verify MODEL: prove again, on this machine, that an export gives the answers it was made with."""

import argparse
import sys

from keras_med import terminal
from keras_med.export.quiet import tensorflow
from keras_med.export.verify import verify
from keras_med.inference.load import find_model


def command(arguments: argparse.Namespace) -> int:
    """Verify one model and tell what was found."""
    if arguments.when_told:
        tensorflow()
        sys.stdin.readline()
    result = verify(find_model(arguments.model))
    if arguments.json:
        print(result.to_json())
    else:
        print("\n".join(result.lines()))
        terminal.say(f"Next: tf.saved_model.load({result.folder!r}).serve(images), float32 pixels of 0-255")
    return 0


if __name__ == "__main__":
    made = terminal.parser("verify", "Run an exported model on its golden images and check the SHA-256 of every file.")
    help_model = "an export, a run folder, or a name (newest version in ./saved_models)"
    made.add_argument("model", metavar="MODEL", help=help_model)
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    made.add_argument("--when-told", action="store_true", help="load TensorFlow, then wait for a line on stdin")
    terminal.main(command, made)

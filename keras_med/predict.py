"""python -m keras_med.predict MODEL FILE_OR_FOLDER...: what an exported model says of files it has not seen."""

import argparse
import dataclasses
import json
from pathlib import Path

from keras_med import terminal


def command(arguments: argparse.Namespace) -> int:
    """Predict, and tell where the table is."""
    from keras_med.data.location import default_cache
    from keras_med.inference import submitting
    from keras_med.inference.load import find_model, load_model
    from keras_med.inference.predict import predict
    from keras_med.jobs.local import warm_up

    sample = arguments.submission
    if sample is not None:
        submitting.check(sample, arguments.out)
    folder = find_model(arguments.model)
    warm_up(["keras_med.data.shards"], {})
    model = load_model(folder, trust=arguments.trust)
    heat = None
    if arguments.explain:
        from keras_med.inference.heat_files import HeatFiles  # imports Keras, which must follow a quiet TensorFlow

        heat = HeatFiles(arguments.explain, model, trust=arguments.trust)
    cache = (arguments.cache or default_cache()).absolute()
    made = predict(model, arguments.files, arguments.out, cache, heat=heat)
    if sample is not None:
        made = dataclasses.replace(made, submission=submitting.submit(made.path, sample))
    print(json.dumps(made.to_json()) if arguments.json else "\n".join(made.lines()))
    return 0


if __name__ == "__main__":
    made = terminal.parser("predict", "Write what an exported model says of files; called again, it goes on.")
    help_model = "an export, a run folder, or a name (newest version in ./saved_models)"
    made.add_argument("model", metavar="MODEL", help=help_model)
    help_files = "DICOM files, images, .npy stacks, folders of them, or a CSV with a column path"
    made.add_argument("files", metavar="FILE_OR_FOLDER", nargs="+", help=help_files)
    made.add_argument("--out", type=Path, default=Path("predictions.csv"), metavar="FILE", help="(predictions.csv)")
    made.add_argument("--cache", type=Path, metavar="DIR", help="for pictures in work; else $KERAS_MED_CACHE")
    help_heat = "also draw where each answer came from, as PNG files named by row"
    made.add_argument("--explain", type=Path, metavar="DIR", help=help_heat)
    help_sample = "also write submission.csv in the form of a challenge's sample"
    made.add_argument("--submission", type=Path, metavar="SAMPLE", help=help_sample)
    made.add_argument("--trust", action="store_true", help="use an export whose files have changed all the same")
    made.add_argument("--json", action="store_true", help="print the result as JSON")
    terminal.main(command, made)

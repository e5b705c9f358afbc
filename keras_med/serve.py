"""python -m keras_med.serve MODEL: a page and an HTTP address on this machine that answer for files."""

import argparse
import json
from contextlib import closing

from keras_med import terminal
from keras_med.runfolder import FORMAT


def command(arguments: argparse.Namespace) -> int:
    """Serve one model until it is told to end."""
    from keras_med.serving import server

    server.check_packages()
    with server.listening(arguments.port) as taken:
        from keras_med.inference.load import find_model, load_model
        from keras_med.jobs.local import warm_up

        folder = find_model(arguments.model)
        warm_up(["keras_med.serving.reader"], {})
        model = load_model(folder, trust=arguments.trust)
        from keras_med.serving.app import application
        from keras_med.serving.service import Service

        with closing(Service(model, largest=arguments.largest * 2**20)) as service:
            url = f"http://{server.HOST}:{taken.getsockname()[1]}/"
            demo = "DEMO MODEL\n" if model.demo else ""
            told = {"format": FORMAT, "url": url, "model": service.name, "demo": model.demo}
            print(json.dumps(told) if arguments.json else f"{demo}{service.name} answers at {url}", flush=True)
            terminal.say(f"Next: open {url} in a browser; Ctrl-C ends it. Nothing that is sent is kept.")
            server.run(application(service), taken)
    return 0


if __name__ == "__main__":
    made = terminal.parser("serve", "Answer for files over HTTP, on this machine's own address alone.")
    help_model = "an export, a run folder, or a name (newest version in ./saved_models)"
    made.add_argument("model", metavar="MODEL", help=help_model)
    made.add_argument("--port", type=int, default=8000, metavar="N", help="0 takes a free one (8000)")
    help_largest = "MiB that one request may have (256)"
    made.add_argument("--largest", type=terminal.count, default=256, metavar="N", help=help_largest)
    made.add_argument("--trust", action="store_true", help="use an export whose files have changed all the same")
    made.add_argument("--json", action="store_true", help="print where it answers as JSON")
    terminal.main(command, made)

"""python -m keras_med.serve MODEL: a page and an HTTP address on this machine that answer for files."""

import argparse
import json

from keras_med import terminal


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

        service = Service(model, largest=arguments.largest * 2**20)
        try:
            url = f"http://{server.HOST}:{taken.getsockname()[1]}/"
            demo = "DEMO MODEL\n" if model.demo else ""
            told = {"format": 1, "url": url, "model": service.name, "demo": model.demo}
            print(json.dumps(told) if arguments.json else f"{demo}{service.name} answers at {url}", flush=True)
            terminal.say(f"Next: open {url} in a browser; Ctrl-C ends it. Nothing that is sent is kept.")
            server.run(application(service), taken)
        finally:
            service.close()
    return 0


def _port(text: str) -> int:
    return _whole(text, 0, 65535)


def _mebibytes(text: str) -> int:
    return _whole(text, 1, 65536)


def _whole(text: str, low: int, high: int) -> int:
    number = int(text) if text.isdecimal() else -1
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
    return number


if __name__ == "__main__":
    made = terminal.parser("serve", "Answer for files over HTTP, on this machine's own address alone.")
    help_model = "an export, a run folder, or a name (newest version in ./saved_models)"
    made.add_argument("model", metavar="MODEL", help=help_model)
    made.add_argument("--port", type=_port, default=8000, metavar="N", help="0 takes a free one (8000)")
    help_largest = "MiB that one request may have (256)"
    made.add_argument("--largest", type=_mebibytes, default=256, metavar="N", help=help_largest)
    made.add_argument("--trust", action="store_true", help="use an export whose files have changed all the same")
    made.add_argument("--json", action="store_true", help="print where it answers as JSON")
    terminal.main(command, made)

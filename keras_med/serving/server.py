"""A model on this machine's own address until Ctrl-C or SIGTERM."""

import errno
import signal
import socket
from importlib.util import find_spec

from keras_med.errors import EnvironmentProblem, RecipeError

HOST = "127.0.0.1"
NEEDED = ("fastapi", "uvicorn", "python_multipart")
_PATIENCE = 10  # seconds for requests that are being answered when the server ends


def check_packages() -> None:
    """Refuse to begin without the packages of the extra."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        what = f"Serving needs {', '.join(missing).replace('_', '-')}."
        raise EnvironmentProblem(what, remedy='pip install "keras_med[serve]"')


def listening(port: int) -> socket.socket:
    """Take the port before anything is loaded; 0 takes a free one."""
    if not 0 <= port <= 65535:
        raise RecipeError(f"There is no port {port}.", remedy="Ports are numbered from 0 (a free one) to 65535.")
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what = f"Port {port} is in use."
            raise EnvironmentProblem(what, remedy="--port names another; --port 0 takes a free one.") from None
        if error.errno == errno.EACCES:
            raise EnvironmentProblem(
                f"Port {port} may not be used.", remedy="Name one above 1023 with --port."
            ) from None
        raise


def run(app: object, taken: socket.socket) -> None:
    """Answer until a signal ends it; SIGTERM is a good end, Ctrl-C raises KeyboardInterrupt."""
    import uvicorn

    # No access log and no log of errors: lines would hold names of files.
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=_PATIENCE,
    )
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn ends, and then raises the signal for who was before it
    uvicorn.Server(config).run(sockets=[taken])

"""Whether Keras on jax trains one network in two processes of this machine as in one, and what it then cannot do.

    python benchmarks/jax_processes.py

Two processes are joined by `jax.distributed` over loopback, each with one processor device, under
`keras.distribution.DataParallel`. Printed are the losses of `fit` and what `evaluate` and `predict` answer.
"""

import os
import subprocess
import sys

from local_cluster import free_port


def main() -> int:
    if len(sys.argv) > 1:
        return work(*map(int, sys.argv[1:]))
    alone, together = told(1), told(2)
    print("one process: ", alone)
    print("two processes:", together)
    same = alone.splitlines()[0] == together.splitlines()[0]
    print(f"fit trains the same: {same}; predict works: {'fails' not in together}")
    return 0


def told(count: int) -> str:
    """Return what the first of so many processes prints."""
    port = str(free_port())
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(count), port],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(count)
    ]
    first, *_ = [process.communicate(timeout=300)[0] for process in started]
    return "\n               ".join(
        line for line in first.splitlines() if line.startswith(("fit", "evaluate", "predict"))
    )


def work(rank: int, count: int, port: int) -> int:
    import jax

    if count > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", count, rank)
    import keras
    import numpy as np

    if count > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    keras.utils.set_random_seed(0)
    layers = [keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1), loss="mean_squared_error")
    inputs = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    history = model.fit(inputs, 2 * inputs[:, :1], batch_size=16, epochs=3, shuffle=False, verbose=0).history
    print("fit     ", " ".join(f"{loss:.6f}" for loss in history["loss"]))
    print("evaluate", f"{model.evaluate(inputs, 2 * inputs[:, :1], batch_size=16, verbose=0):.6f}")
    try:
        print("predict ", model.predict(inputs, batch_size=16, verbose=0)[0, 0])
    except RuntimeError as error:
        print("predict  fails:", str(error).splitlines()[0][:100])
    return 0


if __name__ == "__main__":
    sys.exit(main())

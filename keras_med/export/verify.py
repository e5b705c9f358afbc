"""An export to the proof that it answers as the trained network did, on this machine."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_med.errors import RunFailed, five_of
from keras_med.export import encoded, golden, int8, litert, manifest, onnx
from keras_med.export.golden import Answer
from keras_med.export.quiet import tensorflow

BATCHES = (1, 3, 7)
_PASSES = 2
_NATIVE = re.compile(r"^([IWEF]\d{4} |\d{4}-\d\d-\d\d |[A-Z]+:absl:)")  # log lines of TensorFlow on stderr


@dataclass(frozen=True)
class Check:
    """One format's answers compared with the recorded ones.

    difference: the largest |a - b|
    mean: the mean |a - b| of the output column where it is largest
    share: the largest |a - b| as a share of what is allowed, of 8-bit weights the mean one; above 1 is a mismatch
    loss: what 8-bit weights may change in the mean, as a share of the span of the golden outputs; 0 of float32 ones,
        of which each answer may differ by TOLERANCE * max(1, |a|)
    repeat_difference: the largest difference between two passes over the same batches
    seconds: median time of one batch, by its size
    """

    format: str
    output: str
    difference: float
    mean: float
    share: float
    repeat_difference: float
    seconds: dict[str, float]
    loss: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether both the answers and their repetition are within the tolerance; NaN never is."""
        return self.share <= 1 and self.repeat_difference <= golden.TOLERANCE


@dataclass(frozen=True)
class VerifyResult:
    """What verification found.

    span: range of the golden outputs; `weak` when it is below `needed_span` and the comparison says less
    files: SHA-256 by relative name
    takes_files: how the SavedModel prepares encoded files itself, where it does
    int8: what 8-bit weights changed when the export was made
    """

    folder: str
    demo: bool
    images: int
    span: float
    needed_span: float
    weak: bool
    checks: tuple[Check, ...]
    files: dict[str, str]
    takes_files: encoded.Difference | None = None
    int8: dict[str, Any] | None = None

    def to_json(self) -> str:
        """Return the result as one line of JSON."""
        return json.dumps({"format": 1, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> "VerifyResult":
        """Return the result that `to_json` wrote."""
        content = json.loads(text)
        content.pop("format")
        content["checks"] = tuple(Check(**check) for check in content["checks"])
        content["takes_files"] = content["takes_files"] and encoded.Difference(**content["takes_files"])
        return cls(**content)

    def lines(self) -> list[str]:
        """Return the result for a reader."""
        told = [f"{self.folder}: verified" + (", DEMO MODEL" if self.demo else "")]
        sizes = ", ".join(map(str, BATCHES))
        told.append(
            f"{self.images} generated images in batches of {sizes}, {_PASSES} times; outputs span {self.span:.3g}"
        )
        if self.weak:
            told.append(f"  weak: a span of {self.needed_span:.3g} would say more; the network hardly reacts to them")
        for check in self.checks:
            times = ", ".join(f"{size}: {1000 * seconds:.3g} ms" for size, seconds in check.seconds.items())
            differences = f"largest difference {check.difference:.2g}, repeated {check.repeat_difference:.2g}"
            mean = f", mean {check.mean:.2g} ({check.share:.0%} of what is allowed)" if check.loss else ""
            told.append(f"  {check.format} {check.output}: {differences}{mean}; time a batch {times}")
        told += int8.lines(self.int8) + (self.takes_files.lines() if self.takes_files else [])
        return told + [f"  sha256 {value}  {name}" for name, value in self.files.items()]


def verify(folder: Path) -> VerifyResult:
    """Run every format of an export on its golden images; RunFailed names a changed file or a wrong answer."""
    content = manifest.read(folder)
    changed = manifest.changes(folder, content)
    if changed:
        raise RunFailed(f"This export is not as it was written: {five_of(changed)}.", where=str(folder))
    recorded = content["golden"]
    images = golden.images(recorded["seed"], recorded["indices"], tuple(recorded["shape"]))
    if golden.fingerprint(images) != recorded["fingerprint"]:
        raise RunFailed("This machine generates other golden images than the exporter did.", where=str(folder))
    checks, formats = [], _formats(folder)
    for name, answers in formats.items():
        for output in golden.answered(recorded):
            if output not in answers:
                raise RunFailed(
                    f"{name} has no output {output!r}.", where=str(folder), remedy="Export the model again."
                )
            wanted = np.asarray(recorded[golden.RECORDED[output]], np.float32)
            checks.append(_compare(name, output, answers[output], images, wanted))
    failed = [check for check in checks if not check.passed]
    if failed:
        raise RunFailed(_mismatch(failed), where=str(folder), remedy="This export must not be used.")
    told = {name: recorded[name] for name in ("span", "needed_span", "weak")}
    return VerifyResult(
        folder=str(folder),
        demo=bool(content.get("demo")),
        images=len(images),
        checks=tuple(checks),
        files=content["files"],
        takes_files=_encoded(formats["SavedModel"], content, folder),
        int8=content.get("int8"),
        **told,
    )


@contextmanager
def verified_in_fresh_process(folder: Path) -> Iterator[Callable[[], VerifyResult]]:
    """Start a process that shares nothing with this one and uses no GPU; what is yielded lets it verify.

    It loads TensorFlow while this one writes the export.
    """
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_source()), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "keras_med.verify", str(folder.resolve()), "--json", "--when-told"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield lambda: _verified(process)
        finally:
            process.kill()


def _verified(process: "subprocess.Popen[str]") -> VerifyResult:
    """Tell the process that the export is written, and return what it found."""
    result, errors = process.communicate("now\n")
    if process.returncode == 0:
        return VerifyResult.from_json(result)
    told = [line for line in errors.splitlines() if line.strip() and not _NATIVE.match(line)]
    reason = "\n".join(told[:4]) or f"The process that verifies ended with {process.returncode}."
    raise RunFailed(f"The export failed its check. {reason}")


INT8 = "LiteRT int8"


def _formats(folder: Path) -> dict[str, dict[str, Answer]]:
    """Return each format's outputs as functions of float32 pixels."""
    formats = {"SavedModel": _saved_model(folder)}
    if (folder / manifest.ONNX_FILE).is_file():
        formats["ONNX"] = onnx.answers(folder / manifest.ONNX_FILE)
    if (folder / manifest.LITERT_FILE).is_file():
        formats["LiteRT"] = litert.answers(folder / manifest.LITERT_FILE)
    if (folder / manifest.LITERT_INT8_FILE).is_file():
        formats[INT8] = litert.answers(folder / manifest.LITERT_INT8_FILE)
    return formats


def _saved_model(folder: Path) -> dict[str, Answer]:
    tf = tensorflow()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    loaded = tf.saved_model.load(str(folder))  # kept by the functions below: its variables live as long as it does

    def answer(name: str) -> Answer:
        return lambda given: getattr(loaded, name)(tf.constant(given)).numpy()

    names = (*golden.OUTPUTS, encoded.PREPARED, encoded.ENCODED)
    return {name: answer(name) for name in names if name in loaded.signatures}


def _encoded(answers: Mapping[str, Answer], content: Mapping[str, Any], folder: Path) -> encoded.Difference | None:
    """Measure again how the SavedModel prepares encoded files; decoders that are far apart make it useless here."""
    image = manifest.image_of(content)
    if image is None or encoded.ENCODED not in answers:
        return None
    found = encoded.measure(answers, image)
    if found.grey_levels > encoded.GREY_LEVELS:
        what = (
            f"SavedModel {encoded.ENCODED} prepares pictures {found.grey_levels:.3g} grey levels away from the readers"
        )
        raise RunFailed(f"{what}; allowed are {encoded.GREY_LEVELS:g}.", where=str(folder))
    return found


def _compare(name: str, output: str, answer: Answer, images: np.ndarray, recorded: np.ndarray) -> Check:
    """Run all images, in batches of 1, 3 and 7 in turn, twice."""
    for size in BATCHES:
        answer(images[:size].astype(np.float32))  # tracing and memory are paid for here, not in the times
    passes, times = [], dict[str, list[float]]()
    for _ in range(_PASSES):
        rows = []
        for batch in _batches(images):
            pixels = batch.astype(np.float32)
            started = time.perf_counter()
            rows.append(answer(pixels).reshape(len(batch), -1))
            times.setdefault(str(len(batch)), []).append(time.perf_counter() - started)
        passes.append(np.concatenate(rows))
    found = np.stack(passes)
    mean = golden.mean_change(recorded, found)
    loss = int8.LOSS if name == INT8 else 0.0
    return Check(
        format=name,
        output=output,
        loss=loss,
        difference=float(np.abs(found - recorded).max()),
        mean=mean,
        share=int8.share(recorded, found) if loss else float(golden.share_of_tolerance(recorded, found).max()),
        repeat_difference=float(np.abs(passes[0] - passes[1]).max()),
        seconds={str(size): float(np.median(times[str(size)])) for size in BATCHES if str(size) in times},
    )


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    start, turn = 0, 0
    while start < len(images):
        size = BATCHES[turn % len(BATCHES)]
        yield images[start : start + size]
        start, turn = start + size, turn + 1


def _mismatch(failed: list[Check]) -> str:
    told = "; ".join(
        f"{check.format} {check.output} differs by {check.difference:.3g}"
        f"{f' and {check.mean:.3g} in the mean' if check.loss else ''}, repeated by {check.repeat_difference:.3g}"
        for check in failed
    )
    if all(check.loss for check in failed):
        allowed = f"allowed in the mean is {int8.LOSS:.0%} of the outputs' span"
        return f"{told}; {allowed}. Leave litert_int8 out of export.formats."
    return f"{told}; allowed is {golden.TOLERANCE:g} * max(1, |a|)."


def _source() -> Path:
    """Return the folder that holds the package, for a process started elsewhere."""
    return Path(__file__).resolve().parents[2]

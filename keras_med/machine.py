"""This machine to what works, what is missing, and the one line that mends it."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from keras_med import engines
from keras_med.data.location import default_cache
from keras_med.training import runtime

State = Literal["works", "absent", "broken"]

_GIB = 2**30
_LEAST_DISK, _LEAST_MEMORY = 5.0, 4.0  # GiB
_PATIENCE = 120  # seconds for the self-test
_NVIDIA = "0x10de"
_WHEELS = ("nvidia-cublas-cu12", "nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12", "nvidia-nccl-cu12")
_GPU = 'pip install "keras_med[gpu]"'
_EXTRAS = {
    "nifti": ("nibabel", "NIfTI volumes"),
    "weights": ("safetensors", "published ResNet18 and ViT weights"),
    "jax": ("jax", "the jax backend"),
    "torch": ("torch", "the torch backend"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    state: works; absent, which not every run needs; or broken, which stops runs or makes them wrong.
    remedy: what to type where it does not work.
    """

    name: str
    state: State
    told: str
    remedy: str = ""


@dataclass(frozen=True)
class Examined:
    """All findings, in the order in which they are told."""

    findings: list[Finding]

    @property
    def broken(self) -> bool:
        return any(finding.state == "broken" for finding in self.findings)

    def to_json(self) -> str:
        return json.dumps({"format": 1, "findings": [asdict(finding) for finding in self.findings]}, indent=1)

    def lines(self) -> list[str]:
        """Return a line for each finding, and below it what mends it."""
        told = []
        for finding in self.findings:
            told.append(f"{finding.state:8}{finding.name:25}{finding.told}")
            told += [f"{'':33}{line}" for line in finding.remedy.splitlines()]
        return told


def examine(*, weights: Path | None, cache: Path | None, quick: bool) -> Examined:
    """Look at everything that a run may need; `quick` leaves out the mirrored training."""
    parts: list[Callable[[], Iterable[Finding]]] = [
        _packages,
        _processor,
        lambda: _disks(cache or default_cache()),
        _driver,
        lambda: _tested(weights, quick=quick),
        _engines,
        _decoders,
        _extras,
    ]
    return Examined([finding for part in parts for finding in part()])


def _packages() -> list[Finding]:
    found = runtime.packages()
    told = ", ".join(
        f"{name} {found[name]}" for name in ("keras", "tensorflow", "numpy", "jax", "torch") if name in found
    )
    state: State = "works" if "tensorflow" in found else "broken"
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    python = Finding("python", "works", f"{platform.python_version()}, backend {backend}")
    return [python, Finding("packages", state, told, "" if state == "works" else "pip install keras_med")]


def _processor() -> list[Finding]:
    cores, memory = runtime.cores(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    half = "bfloat16 in hardware" if "amx_bf16" in flags or "avx512_bf16" in flags else "no bfloat16 in hardware"
    little = memory < _LEAST_MEMORY
    return [
        Finding("processor", "works", f"{cores} cores, {runtime.processor()}, {half}"),
        Finding(
            "memory",
            "broken" if little else "works",
            f"{memory:.1f} GiB",
            "Training needs about 4 GiB: lower train.batch_size, or take a larger machine." if little else "",
        ),
    ]


def _disks(cache: Path) -> list[Finding]:
    found = []
    for name, place in (("cache", cache.absolute()), ("run folders", Path.cwd())):
        there = next(folder for folder in (place, *place.parents) if folder.is_dir())
        free = shutil.disk_usage(there).free / _GIB
        full, locked = free < _LEAST_DISK, not os.access(there, os.W_OK)
        told = f"{free:.1f} GiB free, {place}" + (", not writable" if locked else "")
        remedy = "Name another disk with --cache DIR and --out DIR." if full or locked else ""
        found.append(Finding(name, "broken" if full or locked else "works", told, remedy))
    return found


def _driver() -> list[Finding]:
    """Look for the card on the bus, its driver, and the CUDA libraries that TensorFlow loads."""
    vendors = [file.read_text().strip() for file in Path("/sys/bus/pci/devices").glob("*/vendor")]
    driver = Path("/proc/driver/nvidia/version")
    if not driver.is_file() and not Path("/dev/nvidiactl").exists():
        if _NVIDIA not in vendors:
            return [
                Finding("GPU", "absent", "no NVIDIA card: runs take the processor, with --devices cpu:2 on two parts")
            ]
        what = "an NVIDIA card without a driver"
        return [
            Finding("GPU", "broken", what, "Install the NVIDIA driver, then see whether nvidia-smi lists the card.")
        ]
    version = driver.read_text().splitlines()[0].strip() if driver.is_file() else "driver loaded"
    missing = [name for name in _WHEELS if not _installed(name)]
    if missing and runtime.packages().get("tensorflow"):
        return [Finding("GPU", "broken", f"{version}; TensorFlow lacks {', '.join(missing)}", _GPU)]
    return [Finding("GPU", "works", version)]


def _tested(weights: Path | None, *, quick: bool) -> list[Finding]:
    """Let a process of its own compute on every device and look for weights."""
    typed = [sys.executable, "-m", "keras_med.training.selftest", *(["--quick"] if quick else [])]
    typed += ["--weights", str(weights)] if weights else []
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(typed, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return [Finding("self-test", "broken", f"gave no answer within {_PATIENCE} s", "nvidia-smi shows what hangs.")]
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        told = f"ended with code {done.returncode}: {last[:160]}"
        return [Finding("self-test", "broken", told, "python -m keras_med.training.selftest shows all of it.")]
    return tested_findings(json.loads(done.stdout.strip().splitlines()[-1]))


def tested_findings(answer: dict[str, Any]) -> list[Finding]:
    """Turn the self-test's answer into findings."""
    found = []
    for device in answer["devices"]:
        wrong = device["problem"] or (
            f"its product is off by {device['difference']:.1g}" if device["difference"] > 0.01 else ""
        )
        told = wrong or f"multiplies matrices rightly ({device['seconds']:.1f} s with its start)"
        remedy = _GPU if wrong and "gpu" in device["device"].lower() else ""
        found.append(Finding(device["device"], "broken" if wrong else "works", told, remedy))
    if "mirrored" in answer:
        found.append(_mirrored(answer["mirrored"]))
    for one in answer["weights"]:
        told = one["file"] or "no ImageNet weights on this machine"
        found.append(Finding(f"weights {one['backbone']}", "works" if one["file"] else "absent", told, one["remedy"]))
    return found


def _mirrored(answer: dict[str, Any]) -> Finding:
    on = {"cpu:2": "two parts of the processor", "gpu:2": "two GPUs"}[answer["devices"]]
    wrong = answer["problem"] or (
        f"weights differ by {answer['difference']:.1g}" if answer["difference"] > 1e-5 else ""
    )
    if wrong:
        remedy = "Train on one device: --devices gpu:1" if answer["devices"] == "gpu:2" else "Train with --devices cpu"
        return Finding("mirrored training", "broken", f"on {on}, against one device: {wrong}", remedy)
    told = f"on {on} equals one device (weights differ by {answer['difference']:.0e})"
    return Finding("mirrored training", "works", told)


def _engines() -> list[Finding]:
    there = set(engines.installed())
    return [
        Finding(f"engine {name}", "works", metadata.version(name))
        if name in there
        else Finding(f"engine {name}", "absent", "frozen features take longer without", engines.INSTALL)
        for name in (engines.OPENVINO, engines.ONNXRUNTIME)
    ]


def _decoders() -> list[Finding]:
    """Name the transfer syntaxes that pydicom knows and what is installed cannot decode."""
    from keras_med.data.dicom_pixels import INSTALL, decoders

    found = decoders()
    missing = [name for name, there in found.items() if not there]
    told = f"{len(found) - len(missing)} of {len(found)} transfer syntaxes"
    if not missing:
        return [Finding("DICOM decoders", "works", told)]
    return [Finding("DICOM decoders", "absent", f"{told}; not {', '.join(missing)}", INSTALL)]


def _extras() -> list[Finding]:
    found = []
    for extra, (package, purpose) in _EXTRAS.items():
        if importlib.util.find_spec(package):
            found.append(Finding(extra, "works", f"{package} {metadata.version(package)}: {purpose}"))
        else:
            found.append(Finding(extra, "absent", purpose, f'pip install "keras_med[{extra}]"'))
    return found


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False

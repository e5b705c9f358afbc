"""What is needed to make this run again: command, seed, versions, hashes, settings; and the CLAIM items."""

import hashlib
from pathlib import Path
from typing import Any

from keras_med.report.checklist import checklist
from keras_med.report.contents import Contents
from keras_med.report.wording import NOT_AVAILABLE, count, duration, finite

HASHED = ("id", "label", "pixel_hash")


def reproduce(contents: Contents) -> dict[str, Any]:
    """Give the section's values; paths of the data are never among them."""
    settings, environment = contents.settings, contents.environment
    recipe = settings.get("recipe") or {}
    items = checklist(contents)
    facts = [
        ("Recipe", f"{recipe.get('file', 'recipe.py')}:{recipe.get('name', 'recipe')} (kept as recipe.py)"),
        ("Seed", str(settings.get("seed", NOT_AVAILABLE))),
        ("Data hash", data_hash(contents) or NOT_AVAILABLE),
        ("Split file", _split_file(contents)),
        ("Python", str(environment.get("python", NOT_AVAILABLE))),
        ("Backend", str(environment.get("backend", NOT_AVAILABLE))),
        ("Devices", str(environment.get("line") or environment.get("devices") or NOT_AVAILABLE)),
        ("Processor", _processor(environment)),
        *(
            (f"Time: {name}", duration(seconds))
            for name, seconds in (contents.metrics.get("times") or {}).items()
            if finite(seconds)
        ),
    ]
    return {
        "command": str(settings.get("command") or ""),
        "facts": facts,
        "docstring": str(recipe.get("docstring") or "").strip(),
        "packages": [
            (str(name), str(version)) for name, version in sorted((environment.get("packages") or {}).items())
        ],
        "settings": [(str(name), str(value)) for name, value in (settings.get("settings") or {}).items()],
        "known": [(item.number, item.asks, item.known) for item in items if item.known],
        "left": [item for item in items if not item.known],
    }


def data_hash(contents: Contents) -> str:
    """Return the run's data hash, or one of the sorted ids, labels and pixel hashes of index.csv."""
    said = contents.settings.get("data_hash") or contents.metrics.get("data_hash")
    if said:
        return str(said)
    if not set(HASHED) <= set(contents.index.columns):
        return ""
    lines = sorted(
        ",".join(str(value) for value in row) for row in contents.index[list(HASHED)].itertuples(index=False)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] + " (ids, labels, pixels)"


def _split_file(contents: Contents) -> str:
    if not contents.run.splits.is_file():
        return NOT_AVAILABLE
    given = contents.chosen("data.splits")
    source = f" (divided as {Path(str(given)).name} says)" if given else ""
    return f"splits.csv{source}, SHA-256 " + hashlib.sha256(contents.run.splits.read_bytes()).hexdigest()[:16]


def _processor(environment: dict[str, Any]) -> str:
    parts = [str(environment["processor"])] if environment.get("processor") else []
    parts += [f"{count(environment[name])} {name}" for name in ("cores", "threads") if finite(environment.get(name))]
    if finite(environment.get("memory_gib")):
        parts.append(f"{environment['memory_gib']:.0f} GiB")
    return ", ".join(parts) or NOT_AVAILABLE

"""Thousands of damaged files through the readers: each must end as a picture or as a DataError.

    python benchmarks/soak/mutated_files.py --files 5000 [--seed 0] [--json OUT]

Sound files of every format and transfer syntax are generated, the DICOM ones with a planted patient name and id; where
KERAS_MED_REAL_DATA is set, real DICOM files are taken too. Copies are damaged: at least half of them beyond the header.
A child process with a memory limit and an alarm for each file reads them; a crash, a hang, any other exception, a
picture outside 0-255, or the planted name in any output is a failure. Exit code 0 means none was seen.
"""

import argparse
import collections
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import UID

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from keras_med.data.dicom_headers import read_header
from keras_med.data.readers import read_picture
from keras_med.data.values import Values
from keras_med.errors import DataError

PLANTED = "Zzplanted"
SECONDS, MEMORY = 20, 3 * 1024**3  # for one file; above what the imported child has
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
NATIVE = {
    "implicit": "1.2.840.10008.1.2",
    "explicit": "1.2.840.10008.1.2.1",
    "big endian": BIG_ENDIAN,
    "deflated": DEFLATED,
}
ENCODED = {"RLE": "1.2.840.10008.1.2.5", "JPEG-LS": "1.2.840.10008.1.2.4.80", "JPEG 2000": "1.2.840.10008.1.2.4.90"}
KINDS = ("flip", "flip", "cut", "insert", "delete", "extreme", "extreme", "zeros", "copy", "noise")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="only kinds whose name has this")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        read_all(arguments.child)
        return 0
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        mutants = write_mutants(Path(folder), arguments.files, arguments.seed, arguments.only)
        outcomes, output, memory = run_children(Path(folder), len(mutants))
    report = summarise(mutants, outcomes, output, memory)
    report["seconds"] = round(time.perf_counter() - begun, 1)
    print(json.dumps(report, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps({"format": 1, **report}))
    return 1 if report["failures"] else 0


def sound_files(folder: Path) -> dict[str, Path]:
    """Write one sound file of each kind, and return it by the name of the kind."""
    folder.mkdir()
    random = np.random.default_rng(0)
    grey = cv2.GaussianBlur(random.integers(0, 256, (48, 40), dtype=np.uint8), (5, 5), 0)
    colour = np.dstack([grey, grey[::-1], grey[:, ::-1]])
    deep = grey.astype(np.uint16) * 200
    kinds: dict[str, Path] = {}
    for name, array, options in (
        ("png grey", grey, []),
        ("png 16", deep, []),
        ("png rgba", np.dstack([colour, grey]), []),
        ("jpg", colour, []),
        ("jpg progressive", colour, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        ("tif plain", deep, [cv2.IMWRITE_TIFF_COMPRESSION, 1]),
        ("tif lzw", colour, [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
        ("tif deflate", deep, [cv2.IMWRITE_TIFF_COMPRESSION, 8]),
    ):
        kinds[name] = folder / f"{name.replace(' ', '_')}.{name.split()[0]}"
        kinds[name].write_bytes(cv2.imencode(f".{name.split()[0]}", array, options)[1].tobytes())
    volume = np.stack([deep] * 6, axis=-1)
    kinds["npy"], kinds["npz"] = folder / "a.npy", folder / "a.npz"
    np.save(kinds["npy"], volume)
    np.savez_compressed(kinds["npz"], volume=volume)
    try:
        import nibabel
    except ImportError:
        print("no nibabel: NIfTI is left out", file=sys.stderr)
    else:
        for name in ("nii", "nii.gz"):
            kinds[name] = folder / f"a.{name}"
            nibabel.save(nibabel.Nifti1Image(volume.astype(np.int16), np.diag([2.0, 3.0, 4.0, 1.0])), kinds[name])
    return kinds | dicom_files(folder, grey, colour, deep)


def dicom_files(folder: Path, grey: np.ndarray, colour: np.ndarray, deep: np.ndarray) -> dict[str, Path]:
    kinds: dict[str, Path] = {}
    for name, syntax in NATIVE.items():
        save(dataset(deep, syntax), kinds, folder, f"dicom {name}")
    save(dataset(np.stack([deep] * 3), NATIVE["explicit"]), kinds, folder, "dicom film")
    save(dataset(colour, NATIVE["explicit"]), kinds, folder, "dicom colour")
    palette = dataset(grey, NATIVE["explicit"])
    palette.PhotometricInterpretation = "PALETTE COLOR"
    for name in ("Red", "Green", "Blue"):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = pydicom.DataElement(
            f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16]
        )
        palette[f"{name}PaletteColorLookupTableData"] = pydicom.DataElement(
            f"{name}PaletteColorLookupTableData", "OW", (np.arange(256, dtype=np.uint16) * 257).tobytes()
        )
    save(palette, kinds, folder, "dicom palette")
    for name, syntax in ENCODED.items():
        for kind, array in (("", deep), (" colour", colour)):
            one = dataset(array, NATIVE["explicit"])
            try:
                one.compress(UID(syntax), generate_instance_uid=False)
            except (RuntimeError, ValueError, NotImplementedError) as error:
                print(f"no encoder for {name}: {type(error).__name__}", file=sys.stderr)
                continue
            save(one, kinds, folder, f"dicom {name}{kind}")
    jpeg = dataset(colour, NATIVE["explicit"])
    jpeg.PixelData = encapsulate([cv2.imencode(".jpg", colour)[1].tobytes()])
    jpeg.PhotometricInterpretation = "YBR_FULL_422"
    jpeg.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.50")
    save(jpeg, kinds, folder, "dicom JPEG")
    lossless = folder / "dicom_JPEG_lossless.dcm"
    if jpeg_lossless(kinds["dicom explicit"], lossless):
        kinds["dicom JPEG lossless"] = lossless
    return kinds | real_files(folder)


def dataset(array: np.ndarray, syntax: str) -> pydicom.Dataset:
    """Make a dataset of grey, colour (three channels last) or film pixels with a planted patient."""
    one = pydicom.Dataset()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = UID(syntax)
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = UID("1.2.3.4")
    one.Modality, one.PatientName, one.PatientID = "CT", f"{PLANTED}^Name", f"{PLANTED}Id"
    one.WindowCenter, one.WindowWidth, one.RescaleSlope, one.RescaleIntercept = [40, 80], [80, 200], 1, -1024
    one.PixelPaddingValue, one.PixelSpacing = 0, [0.5, 0.5]
    samples = 3 if array.shape[-1] == 3 else 1
    frames = array.ndim == 3 and samples == 1
    one.Rows, one.Columns = array.shape[1:3] if frames else array.shape[:2]
    if frames:
        one.NumberOfFrames = len(array)
    one.SamplesPerPixel, one.PhotometricInterpretation = samples, "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        one.PlanarConfiguration = 0
    one.BitsAllocated = one.BitsStored = array.dtype.itemsize * 8
    one.HighBit, one.PixelRepresentation = one.BitsStored - 1, 0
    order = ">" if syntax == BIG_ENDIAN else "<"
    one.PixelData = array.astype(f"{order}u{array.dtype.itemsize}").tobytes()
    one["PixelData"].VR = "OW"
    return one


def save(one: pydicom.Dataset, kinds: dict[str, Path], folder: Path, name: str) -> None:
    kinds[name] = folder / f"{name.replace(' ', '_')}.dcm"
    one.save_as(kinds[name], enforce_file_format=True)


def jpeg_lossless(source: Path, target: Path) -> bool:
    """Encode with GDCM, which alone can."""
    try:
        import gdcm
    except ImportError:
        return False
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(source))
    reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    if not change.Change():
        return False
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    return writer.Write()


def real_files(folder: Path) -> dict[str, Path]:
    """Copy the smaller real DICOM files, where there are any."""
    root = os.environ.get("KERAS_MED_REAL_DATA")
    kinds: dict[str, Path] = {}
    for path in sorted(Path(root, "dicom").rglob("*")) if root else ():
        if not path.is_file() or path.stat().st_size > 300_000:
            continue
        copy = folder / f"real_{len(kinds)}{path.suffix}"
        copy.write_bytes(path.read_bytes())
        kinds[f"real {path.name}"] = copy
    return kinds


def header_length(content: bytes, name: str) -> int:
    """Say where the pixels begin, so that damage can be aimed beyond it."""
    if name.startswith("png"):
        return content.index(b"IDAT") + 8
    if name.startswith("jpg"):
        return content.index(b"\xff\xda") + 14
    if name.startswith("tif"):
        return 8  # the directory stands at the end
    if name.startswith("np"):
        return 128 if name == "npy" else 60
    if name.startswith("nii"):
        return 352 if name == "nii" else 60
    place = content.rfind(b"\xe0\x7f\x10\x00")
    place = place if place > 0 else content.rfind(b"\x7f\xe0\x00\x10")
    return place + 12 if place > 0 else min(len(content) // 4, 400)


def write_mutants(folder: Path, count: int, seed: int, only: str) -> list[dict]:
    """Write damaged copies, as many of each kind, and list what was done to each."""
    random = np.random.default_rng(seed)
    kinds = {name: path for name, path in sound_files(folder / "sound").items() if only in name}
    contents = {name: path.read_bytes() for name, path in kinds.items()}
    (folder / "mutants").mkdir()
    mutants = []
    for number in range(count):
        name = list(kinds)[number % len(kinds)]
        beyond = (number + number // len(kinds)) % 3 != 0
        content = contents[name]
        begin = min(header_length(content, name), len(content) - 1)
        damage = str(random.choice(KINDS))
        low, high = (begin, len(content)) if beyond else (0, begin)
        # the inside of a deflated file is damaged before it is deflated again, or zlib would refuse them all
        if name == "dicom deflated" and number % 2:
            content = inflate_mutate(content, damage, random)
        else:
            content = mutate(content, low, high, damage, random)
        suffix = ".nii.gz" if name == "nii.gz" else kinds[name].suffix
        path = folder / "mutants" / f"{number:06d}{suffix}"
        path.write_bytes(content)
        mutants.append({"kind": name, "damage": damage, "beyond": beyond})
    return mutants


def inflate_mutate(content: bytes, damage: str, random: np.random.Generator) -> bytes:
    place = content.index(b"\x02\x00\x00\x00UL")  # the group length says where the meta part ends
    begin = place + 12 + int.from_bytes(content[place + 8 : place + 12], "little")
    inside = zlib.decompress(content[begin:], -zlib.MAX_WBITS)
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return content[:begin] + deflater.compress(mutate(inside, 0, len(inside), damage, random)) + deflater.flush()


def mutate(content: bytes, low: int, high: int, damage: str, random: np.random.Generator) -> bytes:
    """Damage bytes between low and high."""
    data = bytearray(content)
    place = int(random.integers(low, max(high, low + 1)))
    length = int(random.integers(1, 64))
    if damage == "flip":
        for spot in random.integers(low, max(high, low + 1), int(random.integers(1, 16))):
            data[spot] ^= 1 << int(random.integers(8))
    elif damage == "cut":
        del data[place:]
    elif damage == "insert":
        data[place:place] = random.bytes(length)
    elif damage == "delete":
        del data[place : place + length]
    elif damage == "extreme":
        value = [
            b"\xff\xff",
            b"\xff\xff\xff\xff",
            b"\xff\xff\xff\x7f",
            b"\x60\xea",
            b"\xea\x60",
            b"\0\0\0\x80",
            b"\0\0",
        ]
        chosen = value[int(random.integers(len(value)))]
        data[place : place + len(chosen)] = chosen
    elif damage == "zeros":
        data[place : place + length] = bytes(length)
    elif damage == "copy":
        source = int(random.integers(len(content)))
        data[place : place + length] = content[source : source + length]
    else:
        data[place : place + length] = random.bytes(length)
    return bytes(data)


def read_all(folder: Path) -> None:
    """Read the files in turn (as a child), telling the parent what becomes of each."""
    paths = sorted((folder / "mutants").iterdir())
    begin = int((folder / "next").read_text())
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cv2.setNumThreads(1)
    with (folder / "outcomes").open("a", buffering=1) as outcomes:
        for number in range(begin, len(paths)):
            (folder / "next").write_text(str(number))
            signal.setitimer(signal.ITIMER_REAL, SECONDS)  # the default action ends the process, native code or not
            started = time.perf_counter()
            outcome, message = read_one(paths[number], number)
            signal.setitimer(signal.ITIMER_REAL, 0)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            row = [number, outcome, message, round(time.perf_counter() - started, 3), peak]
            outcomes.write(json.dumps(row) + "\n")


def read_one(path: Path, number: int) -> tuple[str, str]:
    """Read a file with one of several `values`, and say how it ended."""
    choices: tuple[Values, ...] = ("file", "per_image", [(40, 80)], (0, 4000))
    values = choices[number % 4]
    try:
        if path.suffix == ".dcm":
            header = read_header(path)
            if any(PLANTED in str(value) for key, value in header.items() if key != "PatientID"):
                pass  # a damaged tag may lead into another one's text; the header goes to `index` alone
        picture = read_picture(path, values)
    except DataError as error:
        return ("error", str(error)) if error.what and error.remedy and error.where else ("no remedy", str(error))
    except Exception as error:  # what this program looks for
        return "escaped", f"{type(error).__name__}: {error}"
    array = picture.array
    sound = array.dtype == np.float32 and array.ndim in (3, 4) and array.size and np.isfinite(array).all()
    if not (sound and array.min() >= 0 and array.max() <= 255):
        return "bad picture", f"{array.shape} {array.dtype}"
    return "picture", " ".join(picture.notes)


def run_children(folder: Path, count: int) -> tuple[dict[int, list], str, int]:
    """Start children until every file has its outcome; what a child dies on is that file's outcome."""
    (folder / "next").write_text("0")
    outcomes: dict[int, list] = {}
    output = ""
    while len(outcomes) < count:
        warned = ["-W", "always", "-W", "error::RuntimeWarning"]
        command = [sys.executable, *warned, str(Path(__file__).resolve()), "--child", str(folder)]
        child = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        output += child.stdout + child.stderr
        outcomes |= {row[0]: row for row in map(json.loads, (folder / "outcomes").read_text().splitlines())}
        if child.returncode:
            number = int((folder / "next").read_text())
            how = "hung" if child.returncode == -signal.SIGALRM else "crashed"
            outcomes.setdefault(number, [number, how, f"exit code {child.returncode}: {child.stderr[-300:]}", 0.0, 0])
            (folder / "next").write_text(str(number + 1))
    return outcomes, output, max(row[4] for row in outcomes.values())


def summarise(mutants: list[dict], outcomes: dict[int, list], output: str, memory: int) -> dict:
    failures = []
    for number, row in sorted(outcomes.items()):
        if row[1] not in ("picture", "error") or PLANTED in str(row[2]):
            failures.append({"file": number, **mutants[number], "outcome": row[1], "message": row[2][:300]})
    if PLANTED in output:
        failures.append({"outcome": "the planted patient in the output"})
    slowest = max(outcomes.values(), key=lambda row: row[3])
    output_lines = collections.Counter(line[:60] for line in output.splitlines())
    return {
        "files": len(mutants),
        "kinds": len({mutant["kind"] for mutant in mutants}),
        "beyond the header": sum(mutant["beyond"] for mutant in mutants),
        "outcomes": dict(collections.Counter(row[1] for row in outcomes.values())),
        "slowest in seconds": slowest[3],
        "slowest file": {"file": slowest[0], **mutants[slowest[0]]},
        "largest memory in MiB": memory // 1024,
        "output lines": dict(output_lines.most_common(5)),
        "failures": failures,
    }


if __name__ == "__main__":
    sys.exit(main())

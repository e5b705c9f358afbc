"""Small exports whose answers can be worked out by hand, and files to ask about."""

import io
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pydicom
import pytest
import uvicorn

from keras_med.export.savedmodel import export
from keras_med.inference.load import load_model
from keras_med.jobs.local import warm_up
from keras_med.models import ensemble
from keras_med.serving.app import application
from keras_med.serving.service import Service

LARGEST = 4 * 2**20


def exported(folder: Path, size: Sequence[int], values: Any, **told: Any) -> Path:
    """Export a network whose answer is sigmoid(4 m - 2), m the mean of the first channel over 255."""
    channels = len(values) if isinstance(values[0], list) else 1  # windows have one each
    image = keras.Input((*size, channels))
    pooling = keras.layers.GlobalAveragePooling3D if len(size) == 3 else keras.layers.GlobalAveragePooling2D
    convolution = keras.layers.Conv3D if len(size) == 3 else keras.layers.Conv2D
    same = convolution(1, 1, use_bias=False)
    dense = keras.layers.Dense(1, activation="sigmoid")
    network = keras.Model(image, dense(pooling()(same(keras.layers.Rescaling(1 / 255)(image)))))
    same.set_weights([np.eye(channels, 1, dtype=np.float32).reshape(*[1] * len(size), channels, 1)])
    dense.set_weights([np.array([[4.0]]), np.array([-2.0])])
    network.save(folder / "model.keras")
    description = {
        "target": {"kind": "binary", "positive": "1"},
        "classes": ["0", "1"],
        "preparation": {"size": list(size), "values": values, "channels": channels},
        "threshold": 0.4,
        **told,
    }
    export(folder / "model.keras", folder / "saved_models" / "bleed" / "1", description)
    return folder / "saved_models" / "bleed" / "1"


@pytest.fixture(scope="package")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the mean of two networks that answer sigmoid(4 m) and sigmoid(-2), m the mean over 255."""
    folder = tmp_path_factory.mktemp("several")
    image, heads = keras.Input((4, 4, 1)), dict[str, keras.Model]()
    for name, weight, bias in (("fold0", 4.0, 0.0), ("fold1", 0.0, -2.0)):
        given, dense = keras.Input((1,)), keras.layers.Dense(1)
        heads[name] = keras.Model(given, dense(given))
        dense.set_weights([np.array([[weight]]), np.array([bias])])
    same = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")
    mean = keras.layers.GlobalAveragePooling2D()(same(keras.layers.Rescaling(1 / 255)(image)))
    keras.Model(image, ensemble.joined(mean, heads, "sigmoid", "mean")).save(folder / "model.keras")
    told = {
        "target": {"kind": "binary", "positive": "1"},
        "classes": ["0", "1"],
        "preparation": {"size": [4, 4], "values": [0.0, 80.0], "channels": 1},
    }
    export(folder / "model.keras", folder / "saved_models" / "several" / "1", told)
    return folder / "saved_models" / "several" / "1"


@pytest.fixture(scope="package")
def ages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the mean of two networks that answer 200 m and 200 m + 20 years, m the mean over 255."""
    folder = tmp_path_factory.mktemp("ages")
    image, heads = keras.Input((4, 4, 1)), dict[str, keras.Model]()
    for name, bias in (("fold0", 0.0), ("fold1", 20.0)):
        given, dense = keras.Input((1,)), keras.layers.Dense(1)
        heads[name] = keras.Model(given, dense(given))
        dense.set_weights([np.array([[200.0]]), np.array([bias])])
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    keras.Model(image, ensemble.joined(mean, heads, None, "mean")).save(folder / "model.keras")
    told = {
        "target": {"kind": "regression", "unit": "years"},
        "preparation": {"size": [4, 4], "values": [0.0, 80.0], "channels": 1},
    }
    export(folder / "model.keras", folder / "saved_models" / "ages" / "1", told)
    return folder / "saved_models" / "ages" / "1"


@pytest.fixture(scope="package")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a network of CT slices in two windows, calibrated."""
    calibration = {"method": "temperature", "temperature": 2.0, "offsets": [0.0, 0.0]}
    windows = [[40.0, 80.0], [80.0, 200.0]]
    return exported(tmp_path_factory.mktemp("flat"), (4, 4), windows, calibration=calibration, demo=True)


@pytest.fixture(scope="package")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a network of volumes."""
    return exported(tmp_path_factory.mktemp("deep"), (4, 4, 4), [0.0, 80.0])


def served(folder: Path) -> Iterator[Service]:
    warm_up(["keras_med.serving.reader"], {})
    service = Service(load_model(folder), largest=LARGEST)
    yield service
    service.close()


@pytest.fixture(scope="package")
def flat_service(flat: Path) -> Iterator[Service]:
    yield from served(flat)


@pytest.fixture(scope="package")
def several_service(several: Path) -> Iterator[Service]:
    yield from served(several)


@pytest.fixture(scope="package")
def deep_service(deep: Path) -> Iterator[Service]:
    yield from served(deep)


class Samples:
    """Files in memory."""

    @staticmethod
    def ct(value: int, *, side: int = 8, series: str = "", place: float = 0.0) -> bytes:
        """Return a CT picture of one value in Hounsfield units, of a patient whose name must not get out."""
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
        one.PatientName, one.PatientID, one.Modality = "Secret^Name", "secret-id", "CT"
        one.Rows = one.Columns = side
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.RescaleSlope, one.RescaleIntercept = 1, -1024
        if series:
            one.SeriesInstanceUID = series
            one.ImagePositionPatient, one.ImageOrientationPatient = [0.0, 0.0, place], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        one.PixelData = np.full((side, side), value + 1024, np.uint16).tobytes()
        written = io.BytesIO()
        one.save_as(written, enforce_file_format=True)
        return written.getvalue()

    @staticmethod
    def png(value: int, side: int = 8) -> bytes:
        return cv2.imencode(".png", np.full((side, side), value, np.uint8))[1].tobytes()

    @staticmethod
    def npy(array: np.ndarray) -> bytes:
        written = io.BytesIO()
        np.save(written, array)
        return written.getvalue()


@pytest.fixture(scope="session")
def samples() -> type[Samples]:
    return Samples


@contextmanager
def listening(service: Service) -> Iterator[str]:
    """Run a server in a thread; give its address."""
    server = uvicorn.Server(uvicorn.Config(application(service), log_config=None, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{taken.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="package")
def flat_url(flat_service: Service) -> Iterator[str]:
    with listening(flat_service) as url:
        yield url


@pytest.fixture(scope="package")
def ages_url(ages: Path) -> Iterator[str]:
    for service in served(ages):
        with listening(service) as url:
            yield url


@pytest.fixture(scope="package")
def deep_url(deep_service: Service) -> Iterator[str]:
    with listening(deep_service) as url:
        yield url

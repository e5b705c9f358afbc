"""What is asked over HTTP: right numbers, a reason for each bad file, bounds, and nobody else's requests."""

import asyncio
import base64
import gzip
import socket
import tempfile
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from keras_med.serving import sent, view
from keras_med.serving.app import application
from keras_med.serving.service import Service

NO_DICOM = "not a DICOM file. Leave the file out, or give its picture format."


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


HALF = sigmoid(4 * 32768 / 65535 - 2)  # 40 lies half way in the window of 40 and 80; packed to 16 bits it is rounded up


class Client:
    """Asks an application without a server."""

    def __init__(self, service: Service, url: str) -> None:
        self._app: Any = application(service)
        self._url = url

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self._run("GET", path, given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self._run("POST", path, given)

    def _run(self, method: str, path: str, given: dict[str, Any]) -> httpx.Response:
        with ThreadPoolExecutor(1) as thread:  # the browser of other tests has its own loop in this one
            return thread.submit(asyncio.run, self._ask(method, path, given)).result()

    async def _ask(self, method: str, path: str, given: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url=self._url) as client:
            return await client.request(method, path, **given)


@pytest.fixture
def client(flat_service: Service) -> Client:
    return Client(flat_service, "http://127.0.0.1:8000")


@pytest.fixture
def volumes(deep_service: Service) -> Client:
    return Client(deep_service, "http://localhost")


def form(*files: tuple[str, bytes]) -> dict[str, Any]:
    return {"files": [("files", (name, content)) for name, content in files]}


def probabilities(answered: Any) -> list[float | None]:
    return [one["outputs"].get("p_1") for one in answered.json()["predictions"]]


def array_of(told: dict[str, Any]) -> np.ndarray:
    kind = np.dtype(np.uint8 if told["bits"] == 8 else "<u2")
    shape = (told["depth"], told["height"], told["width"], told["channels"])
    return np.frombuffer(base64.b64decode(told["data"]), kind).reshape(shape)


def test_every_file_has_its_answer_or_its_reason_in_the_order_sent(client: Client, samples: Any) -> None:
    files = form(("a.dcm", samples.ct(40)), ("b.dcm", b"Dear colleague,"), ("c.png", samples.png(80)))
    answered = client.post("/predict", **files)
    assert answered.status_code == 200
    assert probabilities(answered) == [pytest.approx(HALF, abs=1e-6), None, pytest.approx(sigmoid(2), abs=1e-6)]
    first, bad, _ = answered.json()["predictions"]
    # a temperature of 2 halves the logit, which is 4 * 32768 / 65535 - 2 = 3e-5
    assert first["calibrated"]["calibrated_1"] == pytest.approx(0.5, abs=1e-4)
    assert (first["decision"], first["reason"], first["out_of_range"]) == ("1", "", None)
    assert (bad["file"], bad["reason"], bad["outputs"]) == ("b.dcm", NO_DICOM, {})
    assert answered.json()["demo"] is True
    assert "secret" not in answered.text.lower()


def test_nothing_readable_is_refused_with_the_reason(client: Client) -> None:
    answered = client.post("/predict", **form(("letter.dcm", b"Dear colleague,")))
    assert (answered.status_code, answered.json()["detail"]) == (422, NO_DICOM)
    assert client.post("/look", **form(("letter.dcm", b"Dear colleague,"))).status_code == 422


def test_a_stack_has_an_answer_a_row_as_predict_gives_it(
    client: Client, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = samples.npy(np.stack([np.full((8, 8), value, np.int16) for value in (0, 40, 80)]))
    assert probabilities(client.post("/predict", **form(("s.npy", stack)))) == pytest.approx(
        [sigmoid(-2), 0.5, sigmoid(2)], abs=1e-6
    )
    monkeypatch.setattr(sent, "MOST_PICTURES", 2)
    told = client.post("/predict", **form(("s.npy", stack), ("a.png", samples.png(0)))).json()["predictions"]
    assert "This stack has 3 pictures" in told[0]["reason"]
    assert told[1]["reason"] == ""


def test_slices_of_one_series_are_one_volume(volumes: Client, samples: Any) -> None:
    slices = [(f"{place}", samples.ct(20 * place, series="1.2.3", place=place)) for place in range(4)]
    other = ("other.npy", samples.npy(np.full((8, 8, 8), 80, np.int16)))
    answered = volumes.post("/predict", **form(slices[2], other, *(slices[place] for place in (0, 3, 1))))
    told = answered.json()["predictions"]
    assert [one["parts"] for one in told] == [[0, 2, 3, 4], [1]]
    # 0, 20, 40 and 60 of the range 0-80: their mean is 30 / 80
    assert probabilities(answered) == pytest.approx([sigmoid(4 * 30 / 80 - 2), sigmoid(2)], abs=1e-4)
    looked = volumes.post("/look", **form(*slices)).json()["picture"]
    shown = array_of(looked)[:, 0, 0, 0] / 65535 * (looked["high"] - looked["low"]) + looked["low"]
    assert shown == pytest.approx([0, 20, 40, 60], abs=0.1)
    assert (looked["unit"], looked["window"]) == ("HU", [0, 80])
    twice = volumes.post("/look", **form(*slices, other))
    assert (twice.status_code, twice.json()["detail"][:33]) == (422, "One picture is shown at a time: s")


def test_two_slices_of_one_place_are_refused_and_the_other_file_is_answered(volumes: Client, samples: Any) -> None:
    slices = [("a", samples.ct(0, series="1.2", place=1.0)), ("a", samples.ct(0, series="1.2", place=1.0))]
    told = volumes.post("/predict", **form(*slices, ("b.npy", samples.npy(np.zeros((4, 4, 9)))))).json()["predictions"]
    assert "two slices at one place" in told[0]["reason"]
    assert told[1]["outputs"]["p_1"] == pytest.approx(sigmoid(-2), abs=1e-6)


def test_a_volume_of_nifti_is_read_from_memory_as_from_a_disk(volumes: Client, samples: Any) -> None:
    nibabel = pytest.importorskip("nibabel")
    content = nibabel.Nifti1Image(np.full((4, 4, 4), 40, np.int16), np.eye(4)).to_bytes()
    packed = gzip.compress(nibabel.Nifti2Image(np.full((4, 4, 4), 80, np.int16), np.eye(4)).to_bytes())
    answered = volumes.post("/predict", **form(("a.nii", content), ("b.nii.gz", packed), ("c.nii.gz", packed[:50])))
    assert probabilities(answered) == [pytest.approx(0.5, abs=1e-4), pytest.approx(sigmoid(2), abs=1e-4), None]


def test_a_picture_comes_with_its_own_values_and_heat(client: Client, samples: Any) -> None:
    picture = np.full((8, 8), -100, np.int16)
    picture[:4, :4] = 300
    looked = client.post("/look?row=1", **form(("s.npy", samples.npy(np.stack([picture * 0, picture]))))).json()
    told = looked["picture"]
    values = array_of(told)[0, :, :, 0] / 65535 * (told["high"] - told["low"]) + told["low"]
    assert values == pytest.approx(picture, abs=0.01)
    assert (told["window"], looked["heat_of"], looked["no_heat"]) == ([0, 80], "p_1", "")
    heat = array_of(looked["heat"])[0, :, :, 0]
    # what speaks for the answer is the bright quarter: everything else is 0 in its window
    assert heat.shape == (4, 4)
    assert heat[0, 0] == 255
    assert heat[3, 3] == 0
    empty = client.post("/look", **form(("s.npy", samples.npy(picture * 0)))).json()
    assert empty["no_heat"] == "Nothing in this picture speaks for this answer."
    missing = client.post("/look?row=2", **form(("s.npy", samples.npy(np.stack([picture] * 2)))))
    assert (missing.status_code, missing.json()["detail"]) == (422, "There is no row 2; there are 2.")


def test_the_members_of_an_ensemble_are_told_apart(several_service: Service, samples: Any) -> None:
    client = Client(several_service, "http://localhost")
    looked = client.post("/look", **form(("a.dcm", samples.ct(80)))).json()
    one, two = sigmoid(4), sigmoid(-2)
    assert looked["prediction"]["outputs"]["p_1"] == pytest.approx((one + two) / 2, abs=1e-6)
    assert looked["prediction"]["spread"] == pytest.approx((one - two) / np.sqrt(2), abs=1e-6)
    assert looked["heat_of"] == "p_1"
    assert looked["heat"] is not None


def test_a_large_picture_is_made_smaller_for_the_page(client: Client, samples: Any) -> None:
    told = client.post("/look", **form(("a.png", samples.png(7, side=2000)))).json()["picture"]
    assert (told["width"], told["height"], told["bits"]) == (view.LONGEST, view.LONGEST, 8)
    assert told["reduced"] == view.LONGEST / 2000
    assert (array_of(told) == 7).all()


def test_no_file_touches_the_disk_however_large(client: Client, samples: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a temporary file")

    for name in ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refused)
    draw = np.random.default_rng(0).integers(0, 255, (1400, 1400), np.uint8)  # 2 MB, more than any parser holds back
    assert client.post("/predict", **form(("a.npy", samples.npy(draw)))).status_code == 200


async def sent_slowly(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_too_much_is_refused_before_it_is_read(client: Client) -> None:
    kind = {"content-type": "multipart/form-data; boundary=a"}
    told = client.post("/predict", content=b"x", headers={**kind, "content-length": str(2**40)})
    assert told.status_code == 413
    head = b'--a\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    told = client.post("/predict", content=sent_slowly([head, *[b"x" * 2**20] * 5]), headers=kind)
    assert (told.status_code, told.json()["detail"][:27]) == (413, "A request may have 4 MiB; s")


def test_a_header_that_claims_too_much_is_refused_before_it_is_allocated(client: Client, samples: Any) -> None:
    content = samples.npy(np.zeros((2, 2), np.uint8)).replace(b"(2, 2), }", b"(90000, 90000), }")
    told = client.post("/predict", **form(("a.npy", content)))
    assert told.status_code == 422
    assert "cut short" in told.json()["detail"]


NAMED = b"--a\r\nContent-Disposition: form-data%b\r\n\r\nx\r\n--a--\r\n"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"--a\r\n", 400),
        (b"--a--\r\n", 422),
        (NAMED % b"", 400),
        (NAMED % b'; name="other"', 422),
        (NAMED % b'; name="files"; filename="\xff\xfe"', 422),
    ],
)
def test_a_broken_form_is_refused_in_a_sentence(client: Client, content: bytes, status: int) -> None:
    told = client.post("/predict", content=content, headers={"content-type": "multipart/form-data; boundary=a"})
    assert told.status_code == status, told.text
    assert told.json()["detail"].endswith(".")


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/form-data; boundary="])
def test_what_is_no_form_is_refused(client: Client, kind: str) -> None:
    assert client.post("/predict", content=b"{}", headers={"content-type": kind}).status_code == 415


def test_a_name_is_no_path(client: Client, samples: Any) -> None:
    told = client.post("/predict", **form(("../../etc/passwd", b""), ("C:\\scans\\a.png", samples.png(0))))
    assert [one["file"] for one in told.json()["predictions"]] == ["passwd", "a.png"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"host": "127.0.0.1.evil.example:8000"}, 400),
        ({"host": ""}, 400),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "LOCALHOST:8000"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 200),
    ],
)
def test_only_its_own_page_is_answered(client: Client, headers: dict[str, str], status: int) -> None:
    told = client.get("/health", headers=headers)
    assert told.status_code == status
    assert "access-control-allow-origin" not in told.headers
    assert "default-src 'none'" in told.headers["content-security-policy"]


def test_who_leaves_in_the_middle_is_no_error(flat_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = urlsplit(flat_url)
    kind = "Content-Type: multipart/form-data; boundary=a\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection((place.hostname, place.port)) as leaving:
        leaving.sendall(f"POST /predict HTTP/1.1\r\nHost: {place.netloc}\r\n{kind}--a\r\n".encode())
    assert httpx.get(f"{flat_url}health").status_code == 200
    assert capsys.readouterr().err == ""


def test_an_error_of_ours_says_nothing_of_the_file(
    flat_service: Service, samples: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Any) -> None:
        raise ValueError("Secret^Name.dcm")

    monkeypatch.setattr(flat_service, "_batches", type("Broken", (), {"ask": staticmethod(fails)}))
    told = Client(flat_service, "http://127.0.0.1").post("/predict", **form(("Secret^Name.dcm", samples.ct(0))))
    assert told.status_code == 500
    assert "Secret" not in told.text + "".join(capsys.readouterr())

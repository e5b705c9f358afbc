"""Finding weights, and refusing the files that cannot serve."""

import hashlib
import http.server
import socket
import threading
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_med.errors import EnvironmentProblem
from keras_med.models import backbone, download, mobilenet_v2, resnet50, weights

NAME = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"


def build(**settings) -> keras.Model:
    image = keras.Input((32, 32, 3))
    return keras.Model(image, mobilenet_v2(image, alpha=0.35, **settings))


@pytest.fixture
def donor() -> keras.Model:
    """A network of other random weights than the builder draws, as if ImageNet had taught it."""
    keras.utils.set_random_seed(5)
    return keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)


@pytest.fixture
def weights_file(tmp_path, donor, write_legacy_h5) -> Path:
    path = tmp_path / "given" / NAME
    path.parent.mkdir()
    write_legacy_h5(path, [layer for layer in donor.layers if layer.weights])
    return path


def same_as(donor: keras.Model, model: keras.Model) -> bool:
    layers = [layer for layer in donor.layers if layer.weights]
    pairs = [(layer.get_weights(), model.get_layer(layer.name).get_weights()) for layer in layers]
    return all(np.array_equal(one, other) for pair in pairs for one, other in zip(*pair, strict=True))


def test_a_file_a_folder_and_the_cache_of_keras_are_looked_at_in_this_order(weights_file, donor, keras_home):
    for given in (weights_file, weights_file.parent):
        with weights.policy(given, allow_download=False) as record:
            assert same_as(donor, build())
    keras_home.mkdir(parents=True)
    weights_file.rename(keras_home / NAME)
    with weights.policy(allow_download=False) as record:
        assert same_as(donor, build())
    expected = hashlib.sha256((keras_home / NAME).read_bytes()).hexdigest()
    assert [(used.backbone, used.file, used.sha256) for used in record.used] == [
        ("mobilenet_v2", str(keras_home / NAME), expected)
    ]
    assert not record.any_random


def test_what_save_weights_of_keras_writes_is_read_too(tmp_path, donor):
    donor.save_weights(tmp_path / "mine.weights.h5")
    with weights.policy(tmp_path / "mine.weights.h5"):
        assert same_as(donor, build())


def test_a_whole_model_in_the_old_layout_is_read_too(tmp_path, donor, weights_file):
    with h5py.File(weights_file) as old, h5py.File(tmp_path / "whole.h5", "w") as new:
        old.copy(old, new, "model_weights")
    with weights.policy(tmp_path / "whole.h5"):
        assert same_as(donor, build())


def test_absent_weights_are_told_with_the_address_the_name_and_the_folder(keras_home):
    with weights.policy(allow_download=False), pytest.raises(weights.WeightsAbsent) as caught:
        build()
    assert caught.value.exit_code == 4
    for part in ("https://storage.googleapis.com/", NAME, str(keras_home), "--weights"):
        assert part in str(caught.value)


def test_on_demo_data_random_weights_serve_and_are_recorded():
    with weights.policy(allow_random=True, allow_download=False) as record:
        build()
    assert record.any_random
    assert [str(used) for used in record.used] == ["mobilenet_v2: RANDOM WEIGHTS, no ImageNet weights were found"]


def test_without_pretraining_nothing_is_looked_for():
    with weights.policy(allow_download=False) as record:
        build(pretrained=False)
    assert record.used == []


def test_a_policy_ends_with_its_block():
    with weights.policy(allow_random=True, allow_download=False) as outer:
        with weights.policy(allow_random=True, allow_download=False) as inner:
            build()
        assert (len(inner.used), len(outer.used)) == (1, 0)
        build()
    assert len(outer.used) == 1


def test_a_folder_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(EnvironmentProblem, match="does not exist"), weights.policy(tmp_path / "nowhere"):
        pass


def refusal(path: Path, build_network=build) -> str:
    with weights.policy(path), pytest.raises(EnvironmentProblem) as caught:
        build_network()
    return caught.value.what


def test_a_web_page_saved_as_weights_is_refused(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_text("\n<!DOCTYPE html><title>404</title>")
    assert "is a web page" in refusal(path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_file_cut_short_is_refused(weights_file, share):
    content = weights_file.read_bytes()
    weights_file.write_bytes(content[: int(len(content) * share)])
    assert "cut short" in refusal(weights_file) or "is not an HDF5 file" in refusal(weights_file)


def test_a_keras_3_file_cut_short_is_refused(tmp_path, donor):
    path = tmp_path / "mine.weights.h5"
    donor.save_weights(path)
    path.write_bytes(path.read_bytes()[:-5000])
    assert "cut short" in refusal(path)


def test_the_weights_of_another_model_are_refused(weights_file):
    def resnet() -> None:
        resnet50(keras.Input((32, 32, 3)))

    def wider() -> None:
        mobilenet_v2(keras.Input((32, 32, 3)), alpha=0.5)

    assert "another model: resnet50 needs" in refusal(weights_file, resnet)
    assert "mobilenet_v2 needs" in refusal(weights_file, wider)


def test_weights_that_are_not_finite_are_refused(weights_file):
    with h5py.File(weights_file, "r+") as file:
        file["bn_Conv1"]["bn_Conv1/gamma:0"][3] = np.nan
    assert "not finite, in bn_Conv1" in refusal(weights_file)


def test_an_hdf5_file_of_something_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["numbers"] = [1, 2, 3]
    assert "does not hold weights" in refusal(tmp_path / "table.h5")


def test_formats_that_can_run_code_are_refused(tmp_path):
    (tmp_path / "resnet18.pth").write_bytes(b"PK")
    assert "can run code" in refusal(tmp_path / "resnet18.pth")


def test_a_file_of_a_published_name_must_be_the_published_file(tmp_path, write_legacy_h5):
    name = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    write_legacy_h5(tmp_path / name, [])

    def resnet() -> None:
        resnet50(keras.Input((32, 32, 3)))

    for given in (tmp_path, tmp_path / name):
        assert "4d473c1dd8becc155b73f8504c6f6626" in refusal(given, resnet)


def _published(url: str, content: bytes) -> weights.Published:
    return weights.Published(files=("file.h5",), url=url, md5=hashlib.md5(content).hexdigest())


def _load(published: weights.Published) -> None:
    image = keras.Input((4,))
    weights.load("dense", published, image, keras.layers.Dense(2, name="dense")(image))


def test_a_download_lands_in_the_cache_of_keras(tmp_path, keras_home, write_legacy_h5):
    layer = keras.layers.Dense(2, name="dense")
    layer.build((None, 4))
    write_legacy_h5(tmp_path / "file.h5", [layer])
    published = _published((tmp_path / "file.h5").as_uri(), (tmp_path / "file.h5").read_bytes())
    with weights.policy() as record:
        _load(published)
    assert record.used[0].file == str(keras_home / "file.h5")
    assert [path.name for path in keras_home.iterdir()] == ["file.h5"]


def test_a_failed_download_is_tried_once_and_leaves_nothing(tmp_path, keras_home):
    published = _published((tmp_path / "absent.h5").as_uri(), b"")
    with weights.policy() as record:
        for _ in range(2):
            with pytest.raises(weights.WeightsAbsent, match="the download failed"):
                _load(published)
    assert len(record.failed_downloads) == 1
    assert not keras_home.exists() or not list(keras_home.iterdir())


def test_a_server_that_never_answers_is_left_in_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError, match=r"no answer|timed out"):
        download.fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/x", tmp_path / "x", seconds=0.3)


class _Short(http.server.BaseHTTPRequestHandler):
    """Announces ten bytes and sends four."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"four")

    def log_message(self, *_args: object) -> None:
        """Stay silent."""


def test_a_download_that_breaks_off_leaves_nothing(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), _Short) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(OSError, match="ended before the end"):
            download.fetch(f"http://127.0.0.1:{server.server_port}/x", tmp_path / "x")
        thread.join()
    assert not list(tmp_path.iterdir())


def test_the_state_of_the_random_numbers_is_left_as_it_was():
    import random

    random.seed(3)
    expected = random.random()
    random.seed(3)
    with weights.policy(allow_random=True, allow_download=False):
        build()
    assert random.random() == expected


def test_a_trained_layer_before_the_backbone_is_left_alone(weights_file, donor):
    image = keras.Input((32, 32, 1))
    with weights.policy(weights_file):
        colour = keras.layers.Conv2D(3, 1, name="to_colour")(image)
        model = keras.Model(image, mobilenet_v2(colour, alpha=0.35))
    assert same_as(donor, model)
    assert model.get_layer("to_colour").trainable
    assert "to_colour" not in [layer.name for layer in backbone.layers_between(colour, model.output)]

from pathlib import Path

import keras
import pytest

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Train, runfolder
from keras_med.errors import RecipeError
from keras_med.recipe.consistency import check_settings
from keras_med.runfolder import RunFolder
from keras_med.training import network, runtime
from keras_med.training.runtime import Runtime


def recipe(*, head: bool = True) -> Recipe:
    def features(image: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Dense(1, name="own")(keras.layers.Flatten()(image))

    return Recipe(
        target=Binary(),
        data=Data(lambda root: None),
        image=Image(size=(4, 4)),
        split=Holdout(),
        model=Model(features, head=head),
        train=Train(precision="bfloat16"),
    )


def test_layers_compute_in_half_precision_keep_whole_weights_and_answer_in_float32() -> None:
    with runtime.precise("bfloat16"):
        model = network.build(recipe(), network.LabelScale())
    own = model.get_layer("own")
    assert (own.compute_dtype, own.variable_dtype) == ("bfloat16", "float32")
    assert model.get_layer(network.LOGITS).compute_dtype == model.outputs[0].dtype == "float32"
    assert keras.config.dtype_policy().name == "float32", "only what is built inside is of that precision"


@pytest.mark.parametrize(
    "machine",
    [Runtime(devices="cpu"), Runtime(devices="cpu:2"), Runtime(devices="gpu:2"), Runtime(backend="jax")],
    ids=["cpu", "two replicas", "two GPUs", "jax"],
)
def test_float16_is_refused_where_it_fails(machine: Runtime) -> None:
    with pytest.raises(RecipeError, match=r"train\.precision=float16 needs one GPU with TensorFlow"):
        runtime.check(machine, 16, "float16")
    runtime.check(Runtime(devices="gpu:1"), 16, "float16")
    runtime.check(Runtime(devices="cpu:2"), 16, "bfloat16")


def test_float16_is_refused_where_no_gpu_is_found(tmp_path: Path) -> None:
    if runtime.visible_gpus():
        pytest.skip("there is one here")
    asked = {"runtime": Runtime().settings(), "batch_size": 16, "precision": "float16"}
    folder = RunFolder(tmp_path).fit("environment").path
    runfolder.write_json(folder / "settings.json", asked)
    with pytest.raises(RecipeError, match="needs one GPU with TensorFlow; this is 1 x "):
        runtime.probe(folder)


def test_half_precision_needs_the_trainer_s_own_last_layer() -> None:
    check_settings(recipe())
    with pytest.raises(RecipeError, match="which stays float32"):
        check_settings(recipe(head=False))

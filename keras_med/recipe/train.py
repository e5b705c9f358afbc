"""How a network is fitted, as a recipe says it."""

from typing import Annotated, Literal

from keras_med.recipe.checking import word
from keras_med.recipe.kinds import Count, Positive, Share, ShareOrZero, Within


@word
class Train:
    """How a network is fitted.

    epochs: most epochs of one fit
    batch_size: examples a step, over all devices
    learning_rate: initial learning rate
    schedule: constant, cosine annealing to zero over all epochs, or lowered whenever the validation loss stops falling
    warmup: epochs in which the rate grows from zero
    restarts: how often cosine annealing starts again
    plateau_patience: epochs without a better validation loss after which schedule="plateau" lowers the rate
    plateau_factor: what it is then multiplied with
    optimizer: which optimizer
    clip: largest global norm of the gradients, of each device's part of a batch; none leaves them alone
    weight_decay: share of each weight that a step takes away, times the learning rate; none is the optimizer's own
    ema: decay of the weights' moving average, which is then what is watched, kept and used; none uses the weights
    loss: the loss, or auto for the one that fits the target; focal weighs examples that are right already less
    label_smoothing: share of each label that is spread over all classes
    class_weight: let every class weigh the same in the loss, in training and in what is watched
    patience: epochs without a better validation loss after which a fit stops; none trains them all
    least_gain: by how much more the validation loss has to fall for an epoch to count as better for the two patiences
    examples: most training examples of a fit, drawn with their classes' shares; none takes all
    repeats: networks of each division, a seed each; beside the first one's figures stands their mean
    fine_tune_from: layer of the frozen part from which a second stage trains on, or "all"; none has one stage
    fine_tune_epochs: most epochs of the second stage
    fine_tune_rate: initial learning rate of the second stage
    precision: of training steps; half the width needs its hardware; what is predicted and exported is float32
    threads: most CPU threads; none uses every core
    mirrored: average the features of each image and of its mirror image, in training, scores and the export alike
    views: changed views of each training image whose frozen features are kept; none changes the images in each epoch
    tensorboard: write event files of every fit, for tensorboard --logdir
    engine: what computes frozen features; auto is the fastest here that gives TensorFlow's numbers
    engine_precision: of frozen features; bfloat16 is OpenVINO's and changes the numbers
    """

    epochs: Count = 20
    batch_size: Count = 32
    learning_rate: Positive = 1e-3
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    warmup: Annotated[int, Within(0, 1000)] = 0
    restarts: Annotated[int, Within(0, 1000)] = 0
    plateau_patience: Count = 5
    plateau_factor: Share = 0.1
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    clip: Positive | None = None
    weight_decay: Positive | None = None
    ema: Share | None = None
    loss: Literal["auto", "mean_squared_error", "mean_absolute_error", "huber", "crossentropy", "focal"] = "auto"
    label_smoothing: ShareOrZero = 0.0
    class_weight: Literal["balanced"] | None = None
    patience: Count | None = None
    least_gain: Annotated[float, Within(0)] = 0.0
    examples: Count | None = None
    repeats: Annotated[int, Within(1, 100)] = 1
    fine_tune_from: str | None = None
    fine_tune_epochs: Count = 10
    fine_tune_rate: Positive = 1e-5
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    threads: Count | None = None
    mirrored: bool = False
    views: Annotated[int, Within(1, 1000)] | None = None
    tensorboard: bool = False
    engine: Literal["auto", "tensorflow", "onnxruntime", "openvino"] = "auto"
    engine_precision: Literal["float32", "bfloat16"] = "float32"

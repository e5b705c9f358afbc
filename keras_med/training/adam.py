"""Adam and AdamW whose update of a variable is one kernel of TensorFlow on a processor; in Keras it is a dozen.

The state, its names and, but for rounding, the weights are those of Keras. Where the kernel does not serve (a card,
another backend, several replicas, rows of an embedding) Keras' own update is taken.
"""

from typing import Any

import keras

from keras_med.training import runtime


class _OneKernel(keras.optimizers.Adam):
    """The variable, its gradient and its two moments are gone over once."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one variable's step."""
        if not _usual(self, gradient, variable):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.constant(self.beta_1, tf.float32), step),
            beta2_power=tf.pow(tf.constant(self.beta_2, tf.float32), step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class Adam(_OneKernel):
    """Keras' Adam."""


class AdamW(_OneKernel, keras.optimizers.AdamW):
    """Keras' AdamW; weights decay before the kernel, as there."""


def _usual(optimizer: keras.optimizers.Adam, gradient: Any, variable: Any) -> bool:
    """Say whether the kernel can take it: in float32, and a gradient of the variable's shape."""
    if optimizer.amsgrad or not runtime.on_one_processor():
        return False
    import tensorflow as tf

    return isinstance(gradient, tf.Tensor) and gradient.dtype == variable.dtype == tf.float32

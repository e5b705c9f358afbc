"""The code of each builder, in the module of its name; recipes call them through `keras_med.models`."""

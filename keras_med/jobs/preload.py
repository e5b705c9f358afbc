"""Imported by the fork server once: the modules that every job of this program needs."""

import gc
import importlib
import os

# TensorFlow's native code writes to the screen while it is imported, before it can be told not to.
_screen, _nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
try:
    for _name in filter(None, os.environ.get("KERAS_MED_PRELOAD", "").split(",")):
        importlib.import_module(_name)
finally:
    os.dup2(_screen, 2)
    os.close(_screen)
    os.close(_nowhere)

gc.collect()
gc.freeze()  # a collection in a child would touch, and so copy, the memory of all that was imported

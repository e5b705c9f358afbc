"""Imported by the fork server once: the modules that every job of this program needs."""

import importlib
import os

for _name in filter(None, os.environ.get("KERAS_MED_PRELOAD", "").split(",")):
    importlib.import_module(_name)

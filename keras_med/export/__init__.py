"""A trained network leaves the run: a SavedModel that carries everything and is proved to give the same answers."""

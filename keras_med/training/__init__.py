"""From a network and tensors to a trained one: runtime, frozen features, fits, resume, preflight."""

"""Settings that are tried before a run trains with the best of them."""

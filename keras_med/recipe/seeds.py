"""One seed for each purpose, derived from the recipe's."""

import hashlib


def seed_for(seed: int, purpose: str) -> int:
    """Return the 31-bit seed of a purpose: the same on every machine, and another for every other name."""
    digest = hashlib.sha256(f"{seed}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1

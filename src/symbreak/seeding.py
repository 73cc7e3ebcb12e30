"""Independent random streams from one seed, without global state."""

import hashlib


def derive(seed: int, *names: str) -> int:
    """Derive the seed of a named stream.

    Args:
        seed: The replica's seed, any integer.
        names: What the stream is for, for instance ``("init", "layers.0.weight")``.

    Returns:
        A 63-bit non-negative integer; equal arguments give equal seeds on every machine.
    """
    text = "/".join([str(seed), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

"""Label variants of a training subset (Zhang et al. 2017, arXiv:1611.03530, section 2)."""

import numpy as np
import numpy.typing as npt

from symbreak.config.specs import LabelSpec

Bytes = npt.NDArray[np.uint8]


def vary(labels: Bytes, spec: LabelSpec, classes: int, seed: int) -> Bytes:
    """Return the label variant of ``labels``.

    Args:
        labels: True labels of the training subset, uint8 ``[N]``.
        spec: ``true``, ``random`` (uniform over the classes), ``shuffled`` (a permutation of ``labels``) or ``partial``
            (each label replaced, with probability ``fraction``, by a uniform class, which may be the true one).
        classes: Number of classes.
        seed: Seed of the draw.

    Returns:
        A new array, uint8 ``[N]``.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    if spec.kind == "shuffled":
        return rng.permutation(labels)
    if spec.kind == "true":
        return labels.copy()
    drawn = rng.integers(classes, size=labels.shape, dtype=np.uint8)
    if spec.fraction is None:
        return drawn
    return np.where(rng.random(labels.shape) < spec.fraction, drawn, labels)

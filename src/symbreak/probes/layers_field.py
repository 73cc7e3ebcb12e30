"""Correlation and spectrum of a field along depth: equally shaped quantities phi_l, l = 0..L-1, of D coordinates each.

With the mean over layers taken away, c_ll' is the cosine of phi_l and phi_l'. The adjacent cosine is the mean of
c_(l,l+1). If the order of layers meant nothing, its mean over all orders would be that of all c_ll', l != l' (not 0:
taking the mean away makes it near -1/(L - 1)); its spread and p-value are those of random orders.

The power at wave number k (cycles over the whole depth) is P(k) = sum_d |sum_l phi_ld exp(-2 pi i k l / L)|^2 / (L D),
so that white noise of variance s^2 has P(k) = s^2, and the mean of P over k = 0..L-1 is the mean square. Depth is taken
as if it were periodic: a trend from the first to the last layer is power at small k.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
COORDINATES = 2**18  # taken at once, which bounds memory to L times so many complex numbers
LOW = 0.1  # share of the wave numbers that count as small
CONSTANT = 1e-12  # of a layer's norm: what is left of it without the mean over layers is rounding


@dataclass(frozen=True)
class Depth:
    """What a field is like along depth.

    ``gram``: products of the layers without their mean, ``[L, L]``. ``cosine``: the same of unit length, None if a
    layer is the mean of all. ``power``, ``power_error``: ``[L // 2 + 1]``, the error
    over coordinates as if these were independent.
    """

    gram: Array
    cosine: Array | None
    power: Array
    power_error: Array


def depth(field: NDArray[np.floating]) -> Depth:
    """Return cosines and spectrum of a field ``[L, D]``."""
    layers, coordinates = field.shape
    gram = np.zeros((layers, layers))
    total, squares = np.zeros(layers // 2 + 1), np.zeros(layers // 2 + 1)
    for part in _parts(field):
        centred = part - part.mean(0)
        gram += centred @ centred.T
        power = np.abs(np.fft.rfft(part, axis=0)) ** 2 / layers
        total += power.sum(1)
        squares += (power**2).sum(1)
    mean = total / coordinates
    variance = np.maximum(squares / coordinates - mean**2, 0)
    norm = np.sqrt(np.diag(gram))
    whole = np.sqrt(np.diag(gram).mean() + mean[0] * coordinates / layers)
    cosine = gram / np.outer(norm, norm) if (norm > CONSTANT * whole).all() else None
    return Depth(gram, cosine, mean, np.sqrt(variance / max(coordinates - 1, 1)))


def _parts(field: NDArray[np.floating]) -> Iterator[Array]:
    for start in range(0, field.shape[1], COORDINATES):
        yield field[:, start : start + COORDINATES].astype(np.float64)


def adjacent(cosine: Array) -> float:
    """Return the mean cosine of neighbours."""
    return float(np.diag(cosine, 1).mean())


@dataclass(frozen=True)
class Null:
    """A statistic if the order of layers meant nothing: its mean, its spread over orders, and the share of orders in
    which it is at least as large as found, with the error of that share."""

    mean: float
    spread: float
    p: float
    p_error: float


def adjacent_null(cosine: Array, orders: NDArray[np.intp]) -> Null:
    """Compare the adjacent cosine with that of other orders ``[S, L]`` of the layers."""
    layers = len(cosine)
    values = cosine[orders[:, :-1], orders[:, 1:]].mean(1)
    mean = (cosine.sum() - np.trace(cosine)) / (layers * (layers - 1))
    return _null(float(mean), values, adjacent(cosine))


def low_share(power: Array, layers: int) -> float:
    """Return the share of small wave numbers in the power at k != 0, of a spectrum ``[L // 2 + 1]``."""
    both = _both(layers) * power
    return float(both[1 : 1 + _low(layers)].sum() / both[1:].sum())


def low_null(gram: Array, orders: NDArray[np.intp]) -> Null:
    """Compare the share of small wave numbers with that of other orders ``[S, L]``; ``gram`` is that of ``Depth``."""
    layers = len(gram)
    low = np.arange(1, 1 + _low(layers))
    waves = np.exp(2j * np.pi * np.outer(low, np.arange(layers)) / layers) / np.sqrt(layers)
    weight = ((waves.conj().T * _both(layers)[low]) @ waves).real / np.trace(gram)
    values = np.array([(gram[np.ix_(order, order)] * weight).sum() for order in orders])
    mean = _both(layers)[low].sum() / (layers - 1)
    return _null(float(mean), values, float((gram * weight).sum()))


def _null(mean: float, values: Array, found: float) -> Null:
    count = len(values)
    p = (1 + (values >= found - 1e-12).sum()) / (1 + count)  # the order found is one of the orders
    return Null(mean, float(values.std(ddof=1)), float(p), float(np.sqrt(p * (1 - p) / (1 + count))))


def _low(layers: int) -> int:
    return int(np.ceil(LOW * (layers // 2)))


def _both(layers: int) -> Array:
    """How many wave numbers of 0..L-1 have the power of k and L - k, ``[L // 2 + 1]``."""
    found = np.full(layers // 2 + 1, 2.0)
    found[0] = 1
    if layers % 2 == 0:
        found[-1] = 1
    return found

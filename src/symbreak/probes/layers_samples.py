"""How much features of different samples are alike, and how much they are like inputs and labels.

* Sample cosine: the mean cosine of the features of two different samples; 1 if they do not depend on the input.
* Alignment (linear CKA; Kornblith et al. 2019, arXiv:1905.00414, eq. 3 and 4) of two Gram matrices,
  HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), with the unbiased HSIC of Song et al. 2012 (JMLR 13, 1393, eq. 5), without
  which features of more dimensions than samples seem aligned with anything (Murphy et al. 2024, arXiv:2405.01012).

Errors are the jackknife's over samples, of the alignment over ``GROUPS`` groups of them.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GROUPS = 20
LEAST = 2 * GROUPS  # samples, so that a group has two


def gram(features: NDArray[np.floating]) -> Array:
    """Return the products of all pairs ``[n, n]`` of features ``[n, ...]``."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    return np.asarray(flat @ flat.T)


def sample_cosine(products: Array) -> tuple[float, float]:
    """Return the mean cosine of two different samples and its error, of their products ``[n, n]``.

    Samples whose features are 0 have no direction and count as orthogonal to all.
    """
    norms = np.sqrt(np.diag(products))
    cosine = products / np.where(norms > 0, norms, 1) / np.where(norms > 0, norms, 1)[:, None]
    count = len(cosine)
    np.fill_diagonal(cosine, 0)
    rows, total = cosine.sum(1), cosine.sum()
    without = (total - 2 * rows) / ((count - 1) * (count - 2))
    error = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    return float(total / (count * (count - 1))), float(error)


def alignment(a: Array, b: Array) -> tuple[float, float]:
    """Return the alignment of two matrices of products ``[n, n]`` and its error; NaN if one is the same everywhere."""
    count = len(a)
    group = np.arange(count) * GROUPS // count
    without = []
    for g in range(GROUPS):
        kept = np.flatnonzero(group != g)
        without.append(_alignment(a[np.ix_(kept, kept)], b[np.ix_(kept, kept)]))
    spread = np.array(without) - np.mean(without)
    return _alignment(a, b), float(np.sqrt((GROUPS - 1) / GROUPS * (spread**2).sum()))


def _alignment(a: Array, b: Array) -> float:
    own = _hsic(a, a) * _hsic(b, b)
    constant = not (_varies(a) and _varies(b)) or own <= 0
    return float("nan") if constant else _hsic(a, b) / float(np.sqrt(own))


def _varies(products: Array) -> bool:
    """Whether features differ between samples by more than rounding: |x - y|^2 against |x|^2 + |y|^2."""
    own = np.diag(products)
    apart = own + own[:, None] - 2 * products
    return bool(apart.max() > 1e-12 * own.max())


def _hsic(a: Array, b: Array) -> float:
    """The unbiased estimate, up to a factor that cancels."""
    n = len(a)
    a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
    pairs = (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2))
    return float(pairs - 2 / (n - 2) * (a.sum(0) @ b.sum(0)))

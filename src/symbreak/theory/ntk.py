"""Neural tangent kernel of a net with one hidden layer, in its plain parameters, split by layer.

f_i(x) = b1_i + sum_j W1_ij s(z_j, x), z_j = W0_j.x + b0_j. Theta_ik(x, y) = sum over parameters of df_i(x) df_k(y) is

    Theta_ik(x, y) = delta_ik [sum_j s_j(x) s_j(y) + 1] + (x.y + 1) sum_j W1_ij W1_kj s'_j(x) s'_j(y)

(Jacot, Gabriel and Hongler 2018 for the kernel; this form is derived in the catalogue, S8). The last layer's part is
proportional to delta_ik in every net, so that only the first layer's can fail to be. W1 -> R W1 makes it R Theta R^T.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def last_layer_part(neurons: Array) -> Array:
    """Return sum_j s_j(x) s_j(y) + 1 of neurons ``[P, N]``, ``[P, P]``; it multiplies delta_ik."""
    return neurons @ neurons.T + 1


def first_layer_part(slopes: Array, w1: Array, x: Array) -> Array:
    """Return (x.y + 1) sum_j W1_ij W1_kj s'_j(x) s'_j(y), summed over nets, ``[P, P, D, D]``.

    Args:
        slopes: s' at each input, ``[P, M, N]`` of M nets.
        w1: ``[M, D, N]``.
        x: Inputs [P, d].
    """
    points, (_, outputs, _) = len(x), w1.shape
    weighted = (slopes[:, None] * w1.transpose(1, 0, 2)).reshape(points * outputs, -1)
    gram = (weighted @ weighted.T).reshape(points, outputs, points, outputs).transpose(0, 2, 1, 3)
    found: Array = gram * (x @ x.T + 1)[:, :, None, None]
    return found

"""The O(D)-symmetric double-well potential of Fok, An and Wang (arXiv:1710.06096, sections 2.4-2.5, appendix B).

V(w) = m2/2 |w|^2 + lam/4 |w|^4 - h w_1,  m2(eta) = -mu^2 + lam eta^2 / 4.
The term in h is not in the paper; it breaks the symmetry explicitly, so that the flat directions get a mass.
All quantities are dimensionless.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mass2(mu2: float, lam: float, eta: float, *, stable: bool = False) -> float:
    """Return the coefficient m2 of |w|^2 / 2 at learning rate ``eta`` (section 2.4).

    Args:
        mu2: mu^2 > 0.
        lam: Quartic coupling, > 0.
        eta: Learning rate, which the paper identifies with a temperature.
        stable: Use +mu^2 in place of -mu^2: a potential whose symmetry never breaks.
    """
    return (mu2 if stable else -mu2) + lam * eta**2 / 4


def critical_eta(mu2: float, lam: float) -> float:
    """Return the learning rate 2 mu / sqrt(lam) at which m2 changes its sign (from section 2.5)."""
    return float(2 * np.sqrt(mu2 / lam))


@dataclass(frozen=True)
class Potential:
    """V at one learning rate: its value and gradient, and the closed forms of its minimum.

    Attributes:
        m2: Coefficient of |w|^2 / 2.
        lam: Quartic coupling, > 0.
        h: Strength of the explicit breaking -h w_1, >= 0.
    """

    m2: float
    lam: float
    h: float = 0.0

    def __post_init__(self) -> None:
        if not (self.lam > 0 and self.h >= 0):
            raise ValueError(
                f"V needs lam > 0 and h >= 0, found lam = {self.lam}, h = {self.h}: change the couplings or 'explicit'"
            )

    def value(self, w: NDArray[np.float64]) -> float:
        """Return V(w) of one point ``w`` of shape [D]."""
        square = float(w @ w)
        return self.m2 / 2 * square + self.lam / 4 * square**2 - self.h * float(w[0])

    def gradient(self, w: NDArray[Any]) -> NDArray[Any]:
        """Return dV/dw of points ``w`` of shape [..., D], real or complex (analytically continued)."""
        gradient: NDArray[Any] = (self.m2 + self.lam * np.sum(w * w, axis=-1, keepdims=True)) * w
        gradient[..., 0] -= self.h
        return gradient

    def radius(self) -> float:
        """Return |w*|: sqrt(-m2/lam) or 0 for h = 0 (section 2.5), else the positive root of lam r^3 + m2 r = h."""
        if self.h == 0:
            return float(np.sqrt(max(0.0, -self.m2) / self.lam))
        roots = np.roots([self.lam, 0.0, self.m2, -self.h])
        return float(roots.real.max())

    def sigma_mass(self) -> float:
        """Return the Hessian's radial eigenvalue m2 + 3 lam |w*|^2: -2 m2 where the symmetry is broken, m2 where not.

        The paper's V_sigma = -m2 sigma^2 (appendix B, eq. 5) gives the same curvature, its section 4 does not.
        """
        return self.m2 + 3 * self.lam * self.radius() ** 2

    def pi_mass(self) -> float:
        """Return the D - 1 tangential eigenvalues: 0 where the symmetry is broken (Goldstone), h/|w*| for h > 0."""
        if self.h > 0:
            return self.h / self.radius()
        return max(0.0, self.m2)

    def zero_modes(self, dimension: int) -> int:
        """Return the number of zero eigenvalues at the minimum: D - 1 broken generators of O(D) -> O(D-1), or none."""
        return dimension - 1 if self.h == 0 and self.m2 < 0 else 0


def text_radius(m2: float, lam: float) -> float:
    """Return |w*| as appendix B has it: sum_i gamma_i^2 = v (not v^2), v = sqrt(-m2/lam); 0 for m2 >= 0."""
    return float((max(0.0, -m2) / lam) ** 0.25)


def text_sigma_mass(mu2: float) -> float:
    """Return the sigma eigenvalue as section 4 has it: 'mu^2 as the weights before the symmetry is broken'."""
    return mu2


def text_pi_mass(lam: float, eta: float) -> float:
    """Return the pi eigenvalue as section 4 and appendix B have it: lam eta^2 / 4, against their own theorem's 0."""
    return lam * eta**2 / 4

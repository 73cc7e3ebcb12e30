"""Evidence of ``gaussnet-fashion-direction``: means of the same length in a random direction of the outputs."""

from symbreak.claims.evidence import Unit
from symbreak.claims.gaussnet.fashion import baseline, compared, hot, networks
from symbreak.claims.tables import Tables


def difference(tables: Tables) -> list[Unit]:
    """Accuracy with a random direction less that at mu = 0.20, k = 10, whose mean has the same length."""
    return compared(networks(tables, turned(0.20)), networks(tables, hot(0.20, 10)))


def difference_unshifted(tables: Tables) -> list[Unit]:
    """Accuracy at k = 0 less that at mu = 0.20, k = 10: means of other lengths."""
    return compared(baseline(tables), networks(tables, hot(0.20, 10)))


def turned(mu: float) -> str:
    """Return the arm whose mean has the length mu sqrt(10) and a random direction."""
    return f"random_mu{round(100 * mu):02d}"

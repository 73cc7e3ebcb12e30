"""Evidence of ``gaussnet-mnist``: last-epoch test accuracy of Gauss-nets with cross-entropy."""

from symbreak.claims.accuracy import accuracy_units
from symbreak.claims.evidence import Unit
from symbreak.claims.tables import Tables


def accuracy_width_100(tables: Tables) -> list[Unit]:
    """Test accuracy at width 100."""
    return accuracy_units(tables, "cross_entropy_100", "test")


def accuracy_width_10(tables: Tables) -> list[Unit]:
    """Test accuracy at width 10, the N that the talk's slide names for its other experiment."""
    return accuracy_units(tables, "cross_entropy_10", "test")

"""Which transformations leave a network, its loss or its non-linearity unchanged; relative defects and dimensions.

* ``invariance/GROUP`` ``|f(Qx) - f(x)| / |f(x)|``, ``covariance/GROUP`` ``|f(Qx) - Q'f(x)| / |f(x)|`` for the linear Q'
  that fits best (on other inputs), ``loss/GROUP`` the first for the losses of single inputs, ``loss_change/GROUP``
  ``L(Qx) - L(x)``: averages over elements Q of a group that acts on inputs (``symbreak.theory.groups``).
* ``commutator/R/GROUP`` ``|R(Qx) - QR(x)| / |R(Qx)|`` of the non-linearity R on random features, and
  ``commutes/R/GROUP`` whether it vanishes: the remnant group of R (Fok, An and Wang, arXiv:1710.06096, section 3).
* ``zero_modes`` = P - rank of the outputs' Jacobian over random inputs: how many directions in parameter space leave
  the loss of every such input unchanged to first order (cf. Marcotte, Gribonval and Peyre, arXiv:2307.00144);
  ``generators/FAMILY`` how many linear generators of a family do so; ``explained`` how many of the zero modes these
  generators span. ``.../gap`` is the ratio of singular values that decided (``symmetry_rank``).

Random inputs are Gaussian with the mean and standard deviation of all entries of ``data.x``: the count is of the
function there, and not of what few data happen not to see; a unit that is dead on all of them counts whole.
All of it in float64.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from torch import Tensor
from torch.nn import Module

from symbreak.errors import SymbreakError
from symbreak.models.activations import ACTIVATIONS
from symbreak.probes.network import Data, Network
from symbreak.probes.report import Report
from symbreak.probes.symmetry_count import report_counts
from symbreak.probes.symmetry_defects import MAPS, commutator
from symbreak.probes.symmetry_inputs import in_double, report_inputs
from symbreak.probes.symmetry_lie import FAMILIES, POINTWISE
from symbreak.theory.groups import fitting
from symbreak.training.losses import LOSSES

NEEDS: Final = "model"
COMMUTES = 1e-12  # a commutator norm up to this is rounding in float64

Map = Callable[[Tensor], Tensor]


def measure(
    network: Network,
    data: Data,
    *,
    seed: int,
    loss: str = "cross_entropy",
    groups: list[str] | None = None,
    samples: int = 16,
    theta: float = 0.1,
    family: list[str] | None = None,
    nonlinearity: str | None = None,
) -> Report:
    """Measure what a network is invariant under.

    Args:
        network: R sets of parameters.
        data: At least two inputs.
        seed: Of group elements and random inputs; the same for all R.
        loss: ``cross_entropy`` or ``mse``.
        groups: Names of ``symbreak.theory.groups.GROUPS``; default: all that act on such inputs (and, for the
            non-linearity, all).
        samples: Elements drawn of each group whose elements cannot all be listed; at least 2.
        theta: Angle of ``block_rotation``, ``map_rotation`` and ``map_rotation_nearest``, radians, in (0, pi].
        family: Names of ``FAMILIES``; default: all that are not too large.
        nonlinearity: One of ``ACTIVATIONS``; default: those that the network is known to have.

    Raises:
        SymbreakError: If an option or input does not fit, or outputs are not finite.
    """
    _check(data, loss, samples, theta, family, nonlinearity)
    network, data, report = in_double(network), Data(data.x.double(), data.y), Report()
    acting = fitting(groups, tuple(data.x.shape[1:]))
    report_inputs(report, network, data, loss, acting, samples, seed, theta)
    _report_remnant(report, nonlinearities(network, nonlinearity), fitting(groups, MAPS), samples, seed, theta)
    report_counts(report, network, data.x, loss, seed, family)
    return report


def nonlinearities(network: Network, name: str | None = None) -> dict[str, Map]:
    """Return the named non-linearity, else those that the network is known to have: its stack's, its modules'."""
    if name is not None:
        return {name: ACTIVATIONS[name].value}
    if network.stack is not None:
        own = network.stack.activation
        return {next((key for key, value in ACTIVATIONS.items() if value is own), "exponential"): own.value}
    modules = [m for m in network.module.modules() if isinstance(m, POINTWISE)] if network.module is not None else []
    return {str(module): partial(_applied, module) for module in modules}


def _applied(module: Module, x: Tensor) -> Tensor:
    found: Tensor = module(x.clone())  # it may work in place
    return found


def _report_remnant(
    report: Report, maps: dict[str, Map], groups: Sequence[str], samples: int, seed: int, theta: float
) -> None:
    if not maps:
        report.warn(
            "commutators are not measured: the network does not say its non-linearity; name it ('nonlinearity')"
        )
    for name, nonlinearity in maps.items():
        for group in groups:
            norm, error = commutator(nonlinearity, group, samples=samples, seed=seed, theta=theta)
            report.add(f"commutator/{name}/{group}", norm, unit="|R(Qx) - QR(x)| / |R(Qx)|", error=error)
            report.add(
                f"commutes/{name}/{group}", float(norm <= COMMUTES), unit="1 if it does on the inputs tried, else 0"
            )


def _check(
    data: Data, loss: str, samples: int, theta: float, family: Sequence[str] | None, nonlinearity: str | None
) -> None:
    if loss not in LOSSES:
        raise SymbreakError(f"'loss' is '{loss}'; choose among {sorted(LOSSES)}")
    if nonlinearity is not None and nonlinearity not in ACTIVATIONS:
        raise SymbreakError(f"'nonlinearity' is '{nonlinearity}'; choose among {sorted(ACTIVATIONS)}")
    if unknown := sorted(set(family or ()) - FAMILIES.keys()):
        raise SymbreakError(f"'family' names {unknown}; choose among {sorted(FAMILIES)}")
    if samples < 2:
        raise SymbreakError(f"'samples' is {samples}; an error needs at least 2 elements of a group")
    if not 0 < theta <= math.pi:
        raise SymbreakError(f"'theta' is {theta}; make it an angle in radians above 0 and up to pi")
    if not data.x.is_floating_point() or len(data.x) < 2 or not data.x.isfinite().all():
        raise SymbreakError(
            f"the probe needs at least 2 inputs, finite and of a floating type; found {len(data.x)} of {data.x.dtype}"
        )

"""Other ways to a Hessian's top eigenvalues and density: PyPI packages, if they are installed, and plain PyTorch.

Each eigensolver has a ladder of settings, cheapest first; a benchmark takes the first that is accurate enough. Their
operators are made beforehand and see all samples as one batch, which suits them best.
"""

import importlib
import importlib.metadata
import importlib.util
import io
import sys
import types
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn

Array = NDArray[np.float64]
Measure = tuple[Array, Array]  # places and their weights
PACKAGES = {
    "eigenthings": ("hessian-eigenthings", "hessian_eigenthings"),
    "curvlinops": ("curvlinops-for-pytorch", "curvlinops"),
    "landscaper": ("landscaper", "landscaper"),
    "pyhessian": ("pyhessian", "pyhessian"),
}
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of eigsh and of power iterations
LANCZOS_STEPS = (10, 12, 14, 16, 18, 20, 25, 30, 35, 40, 45, 50)  # of eigenthings, which reorthogonalises up to 50


@dataclass(frozen=True)
class Solver:
    """Top-k eigenvalues, descending, at each setting of a ladder."""

    ladder: Sequence[float]
    solve: Callable[[float], Array]


def peers() -> dict[str, str]:
    """Return the installed packages among the peers: name -> version."""
    return {
        name: importlib.metadata.version(package)
        for name, (package, module) in PACKAGES.items()
        if importlib.util.find_spec(module) is not None
    }


def product(module: nn.Module, x: Tensor, y: Tensor) -> Callable[[Array], Array]:
    """Return H v of the mean cross-entropy for a vector as everyone writes it: backward through a kept backward."""
    parameters = list(module.parameters())
    loss = nn.functional.cross_entropy(module(x), y)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, create_graph=True)])

    def apply(v: Array) -> Array:
        along = torch.from_numpy(v.reshape(-1)).to(gradient.dtype)
        found = torch.autograd.grad(gradient, parameters, along, retain_graph=True)
        return torch.cat([part.flatten() for part in found]).double().numpy()

    return apply


def largest(apply: Callable[[Array], Array], n: int, k: int, tolerance: float) -> Array:
    """Return the k largest eigenvalues by ARPACK."""
    start = np.random.default_rng(0).standard_normal(n)
    operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
    values: Array = eigsh(operator, k, which="LA", tol=tolerance, v0=start, return_eigenvectors=False)
    return np.sort(values)[::-1]


def solvers(module: nn.Module, x: Tensor, y: Tensor, k: int) -> dict[str, Solver]:
    """Return plain PyTorch with ARPACK and every installed peer."""
    n, apply = sum(p.numel() for p in module.parameters()), product(module, x, y)
    found = {"plain": Solver(TOLERANCES, lambda tolerance: largest(apply, n, k, tolerance))}
    makers = {"eigenthings": _eigenthings, "curvlinops": _curvlinops, "landscaper": _powers, "pyhessian": _powers}
    return found | {name: makers[name](name, module, x, y, k) for name in peers()}


def densities(module: nn.Module, x: Tensor, y: Tensor, probes: int, steps: int) -> dict[str, Callable[[], Measure]]:
    """Return every installed peer's spectral density, as finely as it gives it (PyHessian's cannot run: torch.eig)."""
    makers = {"eigenthings": _eigenthings_density, "curvlinops": _curvlinops_density, "landscaper": _landscaper_density}
    return {name: makers[name](module, x, y, probes, steps) for name in peers() if name in makers}


def _eigenthings_operator(module: nn.Module, x: Tensor, y: Tensor) -> tuple[Any, Any]:
    package = importlib.import_module("hessian_eigenthings")
    loss = package.supervised_loss(nn.functional.cross_entropy)
    return package, package.HessianOperator(module, [(x, y)], loss)


def _eigenthings(name: str, module: nn.Module, x: Tensor, y: Tensor, k: int) -> Solver:
    package, operator = _eigenthings_operator(module, x, y)

    def solve(steps: float) -> Array:
        values = package.lanczos(operator, k=k, max_iter=int(steps), which="LA", seed=0).eigenvalues
        return np.sort(values.double().numpy())[::-1]

    return Solver(LANCZOS_STEPS, solve)


def _curvlinops_operator(module: nn.Module, x: Tensor, y: Tensor) -> tuple[Any, Any]:
    package = importlib.import_module("curvlinops")
    return package, package.HessianLinearOperator(module, nn.CrossEntropyLoss(), list(module.parameters()), [(x, y)])


def _curvlinops(name: str, module: nn.Module, x: Tensor, y: Tensor, k: int) -> Solver:
    operator = _curvlinops_operator(module, x, y)[1].to_scipy()
    apply = lambda v: operator @ v.astype(operator.dtype)  # noqa: E731
    return Solver(TOLERANCES, lambda tolerance: largest(apply, operator.shape[0], k, tolerance))


def _power_operator(name: str, module: nn.Module, x: Tensor, y: Tensor) -> Any:
    if name == "pyhessian":
        made = importlib.import_module("pyhessian").hessian
        return made(module, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    made = _landscaper().PyHessian
    return made(module.eval(), nn.CrossEntropyLoss(), [(x, y)], torch.device("cpu"), try_cache=True)


def _powers(name: str, module: nn.Module, x: Tensor, y: Tensor, k: int) -> Solver:
    operator = _power_operator(name, module, x, y)

    def solve(tolerance: float) -> Array:
        torch.manual_seed(0)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # of progress bars
            values, _ = operator.eigenvalues(maxIter=1000, tol=tolerance, top_n=k)
        return np.sort(np.array([complex(value).real for value in values]))[::-1]

    return Solver(TOLERANCES, solve)


def _landscaper() -> Any:
    """Its module of Hessians without the package, whose import wants a dozen more packages."""
    spec = importlib.util.find_spec("landscaper")
    assert spec is not None and spec.submodule_search_locations is not None
    if "landscaper" not in sys.modules:
        package = types.ModuleType("landscaper")
        package.__spec__ = spec
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["landscaper"] = package
    return importlib.import_module("landscaper.hessian")


def _eigenthings_density(module: nn.Module, x: Tensor, y: Tensor, probes: int, steps: int) -> Callable[[], Measure]:
    package, operator = _eigenthings_operator(module, x, y)

    def run() -> Measure:
        found = package.spectral_density(operator, num_runs=probes, lanczos_steps=steps, seed=0)
        held = ~torch.isnan(found.raw_eigenvalues)
        return found.raw_eigenvalues[held].double().numpy(), found.raw_weights[held].double().numpy()

    return run


def _curvlinops_density(module: nn.Module, x: Tensor, y: Tensor, probes: int, steps: int) -> Callable[[], Measure]:
    operator = _curvlinops_operator(module, x, y)[1]
    spectrum = importlib.import_module("curvlinops.papyan2020traces.spectrum")

    def run() -> Measure:
        torch.manual_seed(0)
        grid, density = spectrum.lanczos_approximate_spectrum(operator, steps, num_repeats=probes, num_points=10_000)
        return grid.double().numpy(), density.double().numpy()

    return run


def _landscaper_density(module: nn.Module, x: Tensor, y: Tensor, probes: int, steps: int) -> Callable[[], Measure]:
    operator = _power_operator("landscaper", module, x, y)

    def run() -> Measure:
        torch.manual_seed(0)
        nodes, weights = operator.density(iter=steps, n_v=probes)
        # the squares of all components are returned; the weights are those of the first ones
        first = [np.asarray(rows)[0].real for rows in weights]
        return np.concatenate([np.asarray(part).real for part in nodes]), np.concatenate(first)

    return run

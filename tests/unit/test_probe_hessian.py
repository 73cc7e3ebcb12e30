"""Hessians: products, eigenpairs, quadrature and the probe, against the dense Hessian in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.func import functional_call

from symbreak.config.models import GaussnetSpec, MlpSpec
from symbreak.errors import SymbreakError
from symbreak.models import gaussnet, mlp
from symbreak.models.activations import Activation
from symbreak.models.model import Model
from symbreak.models.stack import Stack
from symbreak.probes import (
    hessian,
    hessian_products,
    hessian_search,
    hessian_stack,
    hessian_tape,
    lanczos,
    quadrature,
)
from symbreak.probes.hessian_products import CallProducts, Task, dense
from symbreak.probes.hessian_stack import StackProducts
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.training.losses import LOSSES

F64 = torch.float64
CUTS = np.array(hessian.CUTS)
hessian_products._warm()  # the oracle differentiates forward too


def oracle(network: Network, data: Data, loss: str) -> Tensor:
    """The dense Hessians ``[R, P, P]`` by ``torch.func.hessian`` of the mean loss over all samples at once."""
    shapes = {name: value.shape[1:] for name, value in network.parameters.items()}

    def mean(flat: Tensor, r: int) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes.values()])
        state = {n: p.view(shape) for (n, shape), p in zip(shapes.items(), parts, strict=True)}
        outputs = network.call(state | network.held(r), data.x)
        return LOSSES[loss](outputs[None], data.y[None]).mean()

    flat = [torch.cat([value.flatten() for value in network.one(r).values()]) for r in range(network.count)]
    return torch.stack([torch.func.hessian(mean)(theta, r) for r, theta in enumerate(flat)])


def inputs(count: int, dtype: torch.dtype = F64) -> Data:
    """Images 1x2x4 of which one pixel is always 0.7 and one always 0, and three classes."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 1, 2, 4, generator=generator, dtype=F64)
    x[:, 0, 0, 1], x[:, 0, 1, 3] = 0.7, 0.0
    return Data(x.to(dtype), torch.randint(0, 3, (count,), generator=generator))


def stacked(model: Model, replicas: int) -> Network:
    states = [model.init(seed) for seed in range(replicas)]
    return of_model(model, {name: torch.stack([state[name] for state in states]) for name in states[0]})


def network(hidden: tuple[int, ...] = (5,), replicas: int = 2, dtype: torch.dtype = F64, **options: object) -> Network:
    spec = MlpSpec.model_validate({"family": "mlp", "hidden": hidden, "activation": "tanh", **options})
    return stacked(mlp.build(spec, (1, 2, 4), 3, dtype), replicas)


def gauss(neuron: str) -> Network:
    spec = GaussnetSpec.model_validate({"family": "gaussnet", "width": 4, "neuron": neuron})
    return stacked(gaussnet.build(spec, (1, 2, 4), 3, F64), 2)


class Convolutional(nn.Module):
    """Convolution, BatchNorm and pooling: nothing of it is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.3))
        self.conv, self.norm, self.head = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(self.scale * x))).amax((2, 3)))


def user() -> Network:
    torch.manual_seed(0)
    first, second = (Convolutional().double().state_dict() for _ in range(2))
    return of_module(Convolutional().double(), [first, second])


NETWORKS = {
    **{f"{name}": network(activation=name) for name in ("relu", "tanh", "erf", "sigmoid", "linear")},
    "deep": network((4, 3)),
    "deep relu": network((4, 3, 4), activation="relu"),
    "no bias": network((4, 3), bias=False),
    "regression": network(()),
    "gauss": gauss("gauss"),
    "erf-net": gauss("erf"),
    "batch norm": network((4,), norm="batch"),
    "layer norm": network((4,), norm="layer"),
    "convolution": user(),
}


def embedded(products: hessian_products.Products, names: list[str]) -> tuple[Tensor, Tensor]:
    """The products' Hessian in the coordinates of all parameters, and the map between them ``[R, n, P]``."""
    unit = torch.eye(products.size, dtype=F64).repeat(products.count, 1, 1)
    named = products.named(unit)
    turn = torch.cat([named[name].reshape(products.count, products.size, -1) for name in names], 2)
    return turn.transpose(1, 2) @ dense(products) @ turn, turn


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", NETWORKS)
def test_products_are_those_of_the_dense_hessian(name: str, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """70 samples in passes of 32 and 6: the last one must count for what it is."""
    monkeypatch.setattr(hessian_stack, "SAMPLES", 32)
    monkeypatch.setattr(hessian_products, "SAMPLES", 32)
    net, data = NETWORKS[name], inputs(70)
    expected = oracle(net, data, loss)
    for chosen in (net, replace(net, stack=None)):
        parts = [embedded(p, list(net.parameters))[0] for p in Task(chosen, data, loss).groups(4)]
        torch.testing.assert_close(torch.cat(parts), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["relu", "no bias", "gauss"])
def test_fast_products_leave_out_only_zero_modes_and_keep_lengths(name: str) -> None:
    net = NETWORKS[name]
    (products,) = Task(net, inputs(20), "mse").groups(4)
    assert isinstance(products, StackProducts)
    assert products.size + products.zeros == net.size
    assert products.zeros == net.parameters["layers.0.weight"].shape[1] * (1 if name == "no bias" else 2)
    _, turn = embedded(products, list(net.parameters))
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(products.size, dtype=F64).repeat(2, 1, 1))


def test_activations_may_be_computed_anew_or_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    net, data = NETWORKS["deep"], inputs(70)
    kept = dense(next(Task(net, data, "mse").groups(4)))
    monkeypatch.setattr(hessian_stack, "KEPT", 0)
    assert torch.equal(dense(next(Task(net, data, "mse").groups(4))), kept)


def test_a_stack_with_an_unknown_activation_is_left_to_autograd() -> None:
    square = Activation(torch.square, torch.square, lambda dh, z, h: dh.mul_(2 * z))
    net = replace(NETWORKS["tanh"], stack=Stack(2, square))
    assert isinstance(next(Task(net, inputs(5), "mse").groups(4)), CallProducts)


def symmetric(values: Tensor, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    """Matrices ``[R, n, n]`` with eigenvalues ``[R, n]`` in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(*values.shape, values.shape[1], generator=generator, dtype=F64))
    return (q @ (values.double().unsqueeze(2) * q.transpose(1, 2))).to(dtype)


def start(count: int, n: int, replicas: int = 1, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(replicas, count, n, generator=torch.Generator().manual_seed(7), dtype=F64).to(dtype)


def outliers(n: int, *values: float) -> Tensor:
    """A bulk between -0.1 and 0.1 and some outliers."""
    bulk = torch.linspace(-0.1, 0.1, n - len(values), dtype=F64)
    return torch.cat([bulk, torch.tensor(values, dtype=F64)])[None]


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    "values",
    [
        [10.0, 9.0, 8.0, 7.0, 6.0, 5.0],
        [10.0, 10.0, 10.0, 10.0, 3.0, 2.0],
        [10.0, 10.0 - 1e-9, 10.0 - 2e-9, 9.999, 9.998, 1.0],
        [1e-7, 9e-8, 5e-8, 2e-8, 1e-8, 1e-9],
    ],
)
def test_each_eigenvalue_is_found_as_often_as_it_is_there(values: list[float], dtype: torch.dtype) -> None:
    """Single-vector Lanczos without reorthogonalisation finds nine copies of one outlier; clusters, it finds once."""
    scale = 10 if max(values) >= 1 else 1e-7
    whole = outliers(300, *(v / scale for v in values), -0.7, -0.5)
    matrix = symmetric(whole, dtype=dtype)
    found = lanczos.eigenpairs(lambda v: v @ matrix, start(9, 300, dtype=dtype), top=5, bottom=2, tolerance=1e-4)
    assert found.converged
    exact = torch.cat([whole.sort(1, descending=True)[0][:, :5], whole.sort(1)[0][:, :2]], 1)
    assert ((found.values - exact).abs() <= found.residuals + 1e-5 * (dtype == torch.float32) + 1e-13).all()
    assert ((found.values - exact).abs() <= 1e-5).all()
    gram = found.vectors @ found.vectors.transpose(1, 2)
    torch.testing.assert_close(gram, torch.eye(7, dtype=dtype)[None], rtol=0, atol=1e-5)


def test_residuals_are_those_of_the_vectors_and_small_scales_are_no_excuse() -> None:
    matrix = symmetric(1e-9 * outliers(200, 3.0, 2.0, 1.0))
    found = lanczos.eigenpairs(lambda v: v @ matrix, start(5, 200), top=3, tolerance=1e-6)
    residual = torch.linalg.vector_norm(found.vectors @ matrix - found.values[..., None] * found.vectors, dim=2)
    torch.testing.assert_close(found.residuals, residual, rtol=1e-6, atol=1e-24)
    torch.testing.assert_close(found.values, torch.tensor([[3e-9, 2e-9, 1e-9]], dtype=F64), rtol=1e-9, atol=0)


def test_restarts_converge_where_one_basis_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanczos, "BLOCKS", 4)
    whole = torch.linspace(-1, 1, 400, dtype=F64)[None]
    matrix = symmetric(whole)
    found = lanczos.eigenpairs(lambda v: v @ matrix, start(7, 400), top=4, bottom=3, tolerance=1e-6, most=3000)
    assert found.converged
    assert found.products > 3 * 4 * 7
    expected = torch.cat([whole[:, [-1, -2, -3, -4]], whole[:, :3]], 1)
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("blocks", [6, 40])
def test_a_basis_that_grows_is_one_that_was_large_at_once(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not it is restarted later: after 6 blocks it is, within 40 not."""
    monkeypatch.setattr(lanczos, "BLOCKS", blocks)
    matrix = symmetric(torch.linspace(-1, 1, 300, dtype=F64)[None])
    ends = []
    for first in (4, blocks):
        monkeypatch.setattr(lanczos, "FIRST", first)
        ends.append(lanczos.eigenpairs(lambda v: v @ matrix, start(5, 300), top=2, bottom=1, tolerance=1e-4))
    assert ends[0].products > 4 * 5 and (ends[0].products > blocks * 5) == (blocks == 6)
    assert ends[0].products == ends[1].products and ends[0].converged
    assert torch.equal(ends[0].values, ends[1].values) and torch.equal(ends[0].vectors, ends[1].vectors)


@pytest.mark.parametrize("slopes", [(0.0, 1.0), (0.0, 0.25, 1.0)])
def test_masks_are_products_with_slopes(slopes: tuple[float, ...]) -> None:
    draw = torch.Generator().manual_seed(3)
    slope = torch.tensor(slopes)[torch.randint(len(slopes), (2, 5, 7), generator=draw)]
    empty = torch.zeros(2, 5, 7)
    tape = hessian_tape.Tape(empty, [empty], [slope], [None], [empty], empty)
    (narrow,) = hessian_tape.narrowed(tape, empty.bfloat16()).slopes
    assert (narrow.dtype == torch.int16) == (len(slopes) == 2)
    values = torch.randn(2, 3, 5, 7, generator=draw).bfloat16()
    expected = values * slope.unsqueeze(1).bfloat16()
    found = hessian_tape.sloped(values, narrow.unsqueeze(1))
    assert torch.equal(found, expected) and found.data_ptr() == values.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("near", [1.0, 1e-1, 1e-2, 1e-3, 1e-5, 1e-9, 0.0])
def test_blocks_are_orthonormal_however_dependent_their_rows_are(
    near: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that differ by ``near``: Cholesky's factor serves the first ones, Householder's the others."""
    left: list[Tensor] = []
    householder = torch.linalg.qr

    def counted(f: Tensor) -> tuple[Tensor, Tensor]:
        left.append(f)
        found: tuple[Tensor, Tensor] = householder(f)
        return found

    monkeypatch.setattr(torch.linalg, "qr", counted)
    f = start(1, 500, 2).repeat(1, 4, 1) + near * start(4, 500, 2)
    q = lanczos._orthonormal(f.to(dtype))
    bound = 10 * torch.finfo(dtype).eps
    torch.testing.assert_close(q @ q.transpose(1, 2), torch.eye(4, dtype=dtype).repeat(2, 1, 1), rtol=0, atol=bound)
    assert bool(left) == (near < 1e-1)
    if near >= 1e-3:  # in their order: each row is within the span of as many of the first
        part = torch.linalg.vector_norm(torch.tril(f.to(dtype) @ q.transpose(1, 2)), dim=2)
        torch.testing.assert_close(part, torch.linalg.vector_norm(f.to(dtype), dim=2))


def test_giving_up_is_said() -> None:
    matrix = symmetric(torch.linspace(-1, 1, 400, dtype=F64)[None])
    found = lanczos.eigenpairs(lambda v: v @ matrix, start(7, 400), top=4, tolerance=1e-10, most=15)
    assert not found.converged
    assert 15 <= found.products < 15 + 7


def test_an_eigenvector_of_which_the_start_has_nothing_is_found_by_the_random_vector() -> None:
    """Guesses that are exact have no residual: without the random sequence the iteration would end at once."""
    matrix = symmetric(outliers(300, 10.0, 9.0, 8.0, 7.0, 6.0))
    known = torch.linalg.eigh(matrix)[1][:, :, [-2, -3, -4, -5]].transpose(1, 2)
    found = lanczos.eigenpairs(lambda v: v @ matrix, torch.cat([known, start(1, 300)], 1), top=3)
    torch.testing.assert_close(found.values, torch.tensor([[10.0, 9.0, 8.0]], dtype=F64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("n", [1, 3, 20, 60])
@pytest.mark.parametrize("rank", [0, 2])
def test_operators_of_low_rank_and_of_few_dimensions(n: int, rank: int) -> None:
    values = torch.zeros(1, n, dtype=F64)
    values[0, :rank] = torch.tensor([5.0, -3.0], dtype=F64)[: min(rank, n)]
    matrix = symmetric(values)
    block = min(4, n)
    found = lanczos.eigenpairs(lambda v: v @ matrix, start(block, n), top=min(2, n), bottom=1)
    ordered = values.sort(1)[0]
    expected = torch.cat([ordered.flip(1)[:, : min(2, n)], ordered[:, :1]], 1)
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=8, max_size=60), st.integers(1, 4), st.integers(0, 3))
def test_any_spectrum_lies_within_the_residuals(values: list[float], top: int, bottom: int) -> None:
    whole = torch.tensor([values], dtype=F64)
    matrix = symmetric(whole)
    block = top + max(2, bottom)
    found = lanczos.eigenpairs(lambda v: v @ matrix, start(block, len(values)), top=top, bottom=bottom, tolerance=1e-9)
    near = (found.values[0][:, None] - whole[0][None]).abs().amin(1)
    assert (near <= found.residuals[0] + 1e-12).all()
    assert found.values[0, 0] == pytest.approx(max(values), abs=1e-6)


def test_operators_are_independent_of_their_companions() -> None:
    whole = torch.cat([outliers(200, 4.0, 3.0, 2.0), outliers(200, 40.0, 1.0, 0.5)])
    matrix, first = symmetric(whole), start(5, 200, 2)
    both = lanczos.eigenpairs(lambda v: v @ matrix, first, top=3, tolerance=1e-8)
    torch.testing.assert_close(both.values, whole[:, [-3, -2, -1]], rtol=1e-12, atol=0)


@pytest.mark.parametrize(("top", "bottom", "explored", "least"), [(3, 0, False, 4), (2, 3, False, 5), (2, 2, True, 4)])
def test_the_block_must_be_larger_than_the_number_asked_for(top: int, bottom: int, explored: bool, least: int) -> None:
    options = {"top": top, "bottom": bottom, "explored": explored}
    with pytest.raises(SymbreakError, match=f"a block of at least {least} vectors, found {least - 1}"):
        lanczos.eigenpairs(lambda v: v, start(least - 1, 50), **options)  # type: ignore[arg-type]
    assert lanczos.eigenpairs(lambda v: v, start(least, 50), **options).converged  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [10, 200])
def test_an_operator_that_is_not_finite_is_refused(n: int) -> None:
    with pytest.raises(SymbreakError, match="not finite"):
        lanczos.eigenpairs(lambda v: v * torch.nan, start(4, n), top=2)
    with pytest.raises(SymbreakError, match="not finite"):
        quadrature.quadrature(lambda v: v * torch.nan, start(2, n), 5)


def test_a_basis_beyond_the_bound_of_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanczos, "BYTES", 1000)
    monkeypatch.setattr(quadrature, "BYTES", 1000)
    with pytest.raises(SymbreakError, match="exceed 1000 bytes"):
        lanczos.eigenpairs(lambda v: v, start(4, 50), top=2)
    with pytest.raises(SymbreakError, match="lower 'steps'"):
        quadrature.quadrature(lambda v: v, start(2, 50), 5)


@pytest.mark.parametrize(("vectors", "at_first"), [(80, 16), (79, 64), (40, 40)])
def test_a_basis_stays_within_its_memory_while_it_grows(
    vectors: int, at_first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4 vectors a block: 16 at first, 64 in the end, and both while they are copied."""
    monkeypatch.setattr(lanczos, "BYTES", vectors * 200 * 8 * 2)
    space = lanczos._Space(start(4, 200), 2, 0)
    assert space.q.shape[1] == space.aq.shape[1] == at_first


def test_gauss_quadrature_is_exact_for_polynomials() -> None:
    """v' A^j v = sum of w theta^j for j < 2 m (Golub and Meurant 1994)."""
    matrix, probes = symmetric(outliers(80, 3.0, 2.0)), start(3, 80)
    found = quadrature.quadrature(lambda v: v @ matrix, probes, 5)
    unit = probes / torch.linalg.vector_norm(probes, dim=2, keepdim=True)
    power = unit
    for j in range(10):
        moment = (found.weights * found.nodes**j).sum(2)
        torch.testing.assert_close(moment, (unit * power).sum(2), rtol=1e-11, atol=1e-12)
        power = power @ matrix


def test_full_quadrature_has_every_eigenvalue_once_and_ends_where_the_space_does() -> None:
    values = torch.tensor([[-2.0, -1.0, 0.0, 1.0, 4.0]], dtype=F64)
    matrix = symmetric(values)
    full = quadrature.quadrature(lambda v: v @ matrix, start(3, 5), 5)
    torch.testing.assert_close(full.nodes, values.expand(1, 3, 5), rtol=0, atol=1e-10)
    three = symmetric(torch.tensor([[2.0, 2.0, -1.0, -1.0, 7.0, 7.0, 7.0, 7.0]], dtype=F64))
    short = quadrature.quadrature(lambda v: v @ three, start(2, 8), 8)
    seen = start(2, 8) / torch.linalg.vector_norm(start(2, 8), dim=2, keepdim=True)
    theta, x = torch.linalg.eigh(three[0])
    for value in (2.0, -1.0, 7.0):
        held = (short.weights * ((short.nodes - value).abs() < 1e-9)).sum(2)
        share = (seen @ x[:, (theta - value).abs() < 1e-9]).square().sum(2)
        torch.testing.assert_close(held, share)


def test_probes_in_parts_give_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, probes = symmetric(outliers(50, 3.0)), start(5, 50)
    whole = quadrature.quadrature(lambda v: v @ matrix, probes, 6)
    monkeypatch.setattr(quadrature, "BYTES", 2 * 50 * 6 * 8)
    parts = quadrature.quadrature(lambda v: v @ matrix, probes, 6)
    torch.testing.assert_close(parts.nodes, whole.nodes)


def test_errors_of_counts_and_moments_cover_the_truth() -> None:
    """Over 40 draws: means within 4 standard errors of the mean, every count within its bound but for a few."""
    whole = outliers(200, 5.0, 4.0, 3.0)
    matrix, truth = symmetric(whole), whole.numpy()
    at, hits, traces = np.array([[-0.05, 0.0, 0.03, 1.0, 4.5]]), 0, []
    for seed in range(40):
        probes = torch.randn(1, 6, 200, generator=torch.Generator().manual_seed(seed), dtype=F64)
        quad = quadrature.quadrature(lambda v: v @ matrix, probes, 20)
        found = quadrature.Spectrum(np.zeros((1, 0)), quad.nodes.numpy(), quad.weights.numpy(), 200)
        count, error = found.below(at)
        hits += int((np.abs(count - (truth[:, None] <= at[..., None]).sum(2)) <= 2 * error).sum())
        traces.append(found.moment(1))
    assert hits >= 0.95 * 40 * at.size
    means, errors = np.array(traces)[:, 0, 0], np.array(traces)[:, 1, 0]
    assert abs(means.mean() - truth.sum()) < 4 * means.std() / np.sqrt(40)
    assert means.std() == pytest.approx(np.sqrt((errors**2).mean()), rel=0.4)


def counts(values: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers of modes ``[R, cut]`` of spectra ``[R, P]``, by their definition."""
    cut = values.max(1)[:, None] * CUTS
    low, high = ((values[:, None] <= sign * cut[..., None]).sum(2) for sign in (-1, 1))
    return {"negative_modes": low, "near_zero_modes": high - low, "positive_modes": values.shape[1] - high}


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", ["tanh", "deep relu", "no bias", "batch norm", "convolution"])
def test_the_probe_reports_the_dense_hessians_spectrum(name: str, loss: str) -> None:
    net, data = NETWORKS[name], inputs(70)
    exact = np.linalg.eigvalsh(oracle(net, data, loss).numpy())
    report = hessian.measure(net, data, seed=0, loss=loss, k=3, bottom=2, tolerance=1e-6)
    found = {key: value.value for key, value in report.results.items()}
    np.testing.assert_allclose(found["spectrum"], exact, atol=1e-11)
    np.testing.assert_allclose(found["eigenvalues"], exact[:, :-4:-1], atol=1e-8)
    np.testing.assert_allclose(found["bottom_eigenvalues"], exact[:, :2], atol=1e-8)
    np.testing.assert_allclose(found["trace"], exact.sum(1), rtol=1e-9)
    np.testing.assert_allclose(found["squared_norm"], (exact**2).sum(1), rtol=1e-9)
    for key, expected in counts(exact).items():
        np.testing.assert_array_equal(found[key], expected)
    np.testing.assert_array_equal(found["cumulative"][:, -1], net.size)
    assert np.all(found["residuals"] <= 1e-6 * np.abs(exact).max())
    assert report.warnings == []


@pytest.mark.parametrize("name", ["tanh", "convolution"])
def test_quadrature_of_a_network_covers_its_spectrum(name: str) -> None:
    net, data = NETWORKS[name], inputs(70)
    exact = np.linalg.eigvalsh(oracle(net, data, "cross_entropy").numpy())
    report = hessian.measure(net, data, seed=0, spectrum="slq", probes=20, steps=12, k=3)
    results = report.results
    for key, truth in {"trace": exact.sum(1), "squared_norm": (exact**2).sum(1)}.items():
        assert results[key].error is not None
        assert np.all(np.abs(results[key].value - truth) <= 5 * results[key].error)
        assert np.all(results[key].error < 0.3 * np.abs(truth))
    for key, truth in counts(exact).items():
        assert np.all(np.abs(results[key].value - truth) <= 2 * results[key].error)
    assert any("do not resolve modes at the cut-offs" in sentence for sentence in report.warnings)


def test_gradients_by_class_sum_to_the_gradient() -> None:
    """Both ways give the same directions, which start the iteration; one class is missing."""
    net, data = NETWORKS["deep"], inputs(70)
    data = Data(data.x, data.y.clamp(max=1))
    leaves = {name: value.clone().requires_grad_() for name, value in net.parameters.items()}
    outputs = torch.stack([net.call({name: value[r] for name, value in leaves.items()}, data.x) for r in range(2)])
    LOSSES["mse"](outputs, data.y[None]).mean(1).sum().backward()
    for chosen in (net, replace(net, stack=None)):
        for first, products in enumerate(Task(chosen, data, "mse").groups(4)):
            parts = products.gradients()
            assert parts.shape[1] == 2
            named = products.named(parts.sum(1, keepdim=True))
            for name, leaf in leaves.items():
                torch.testing.assert_close(named[name][:, 0], leaf.grad[first : first + products.count])


@pytest.mark.parametrize("name", ["tanh", "convolution"])
def test_the_density_is_near_the_exact_spectrum(name: str) -> None:
    net, data = NETWORKS[name], inputs(70)
    exact = np.linalg.eigvalsh(oracle(net, data, "cross_entropy").numpy())
    found = hessian.density(net, data, seed=0, probes=20, steps=12)
    for r in range(2):
        weights = np.concatenate([np.ones(found.exact.shape[1]), found.rest / 20 * found.weights[r].ravel()])
        nodes = np.concatenate([found.exact[r], found.nodes[r].ravel()])
        assert weights.sum() == pytest.approx(net.size)
        assert wasserstein_distance(nodes, exact[r], weights) < 0.1 * np.abs(exact[r]).mean()


def test_without_a_spectrum_the_trace_is_estimated_or_left_out() -> None:
    net, data = NETWORKS["tanh"], inputs(70)
    exact = np.linalg.eigvalsh(oracle(net, data, "mse").numpy()).sum(1)
    found = hessian.measure(net, data, seed=0, loss="mse", spectrum="none", probes=30).results
    assert found.keys() == {"eigenvalues", "residuals", "bottom_eigenvalues", "bottom_residuals", "trace"}
    assert found["trace"].error is not None
    assert np.all(np.abs(found["trace"].value - exact) <= 4 * found["trace"].error)
    alone = hessian.measure(net, data, seed=0, loss="mse", spectrum="none", probes=0, bottom=0).results
    assert alone.keys() == {"eigenvalues", "residuals"}


def test_a_replicas_numbers_do_not_depend_on_its_companions(monkeypatch: pytest.MonkeyPatch) -> None:
    net, data = network(replicas=3), inputs(40)
    whole = hessian.measure(net, data, seed=3, spectrum="slq", steps=5).results
    monkeypatch.setattr(hessian_products, "ROWS", 1)
    single = hessian.measure(net, data, seed=3, spectrum="slq", steps=5).results
    np.testing.assert_allclose(single["eigenvalues"].value, whole["eigenvalues"].value, rtol=1e-5)
    np.testing.assert_allclose(single["trace"].value, whole["trace"].value, rtol=1e-3)


def test_single_precision_reaches_the_dense_answer_of_double_precision() -> None:
    net, data = network((20,), replicas=2, dtype=torch.float32), inputs(500, torch.float32)
    task = hessian_products.double(Task(net, data, "cross_entropy"))
    exact = np.linalg.eigvalsh(oracle(task.network, task.data, "cross_entropy").numpy())
    found = hessian.measure(net, data, seed=0, spectrum="none", probes=0)
    np.testing.assert_allclose(found.results["eigenvalues"].value, exact[:, :-6:-1], rtol=1e-4)
    every = hessian.measure(net, data, seed=0).results
    np.testing.assert_allclose(every["spectrum"].value, exact, atol=1e-12)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches in bfloat16 whatever the size and the processor, in passes of 32 and one of the rest."""
    monkeypatch.setattr(hessian_stack, "fast_bfloat16", lambda like: True)
    monkeypatch.setattr(hessian_stack, "LARGE", 0)
    monkeypatch.setattr(hessian_stack, "SAMPLES", 32)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", ["relu", "tanh", "erf", "sigmoid", "linear", "deep relu", "no bias", "gauss"])
def test_coarse_products_and_gradients_are_near_the_exact_ones(name: str, loss: str) -> None:
    (products,) = Task(NETWORKS[name], inputs(70), loss).groups(4)
    near, v = products.coarse(), start(3, products.size, products.count)
    assert near is not None
    for found, expected in ((near(v), products(v)), (near.gradients(), products.gradients())):
        assert found.dtype == F64
        wrong = torch.linalg.vector_norm(found - expected, dim=(1, 2)) / torch.linalg.vector_norm(expected, dim=(1, 2))
        assert (wrong < 0.01).all()
        assert (wrong > 1e-4).all()  # else nothing was rounded, and nothing tested


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("tolerance", [3e-2, 1e-2])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_coarse_search_ends_at_exact_eigenvalues(dtype: torch.dtype, tolerance: float) -> None:
    net, data = network((20,), replicas=3, dtype=dtype), inputs(300, dtype)
    task = hessian_products.double(Task(net, data, "cross_entropy"))
    exact = np.linalg.eigvalsh(oracle(task.network, task.data, "cross_entropy").numpy())
    report = hessian.measure(net, data, seed=0, spectrum="none", probes=0, bottom=2, tolerance=tolerance)
    scale = np.abs(exact).max(1, keepdims=True)
    for prefix, expected in (("", exact[:, :-6:-1]), ("bottom_", exact[:, :2])):
        values, residuals = (report.results[f"{prefix}{name}"].value for name in ("eigenvalues", "residuals"))
        assert np.all(residuals <= tolerance * scale)
        assert np.all(np.abs(values - expected) <= tolerance / 2 * scale)
        nearest = np.abs(values[:, :, None] - exact[:, None]).min(2)
        assert np.all(nearest <= residuals + 1e-5 * scale * (dtype == torch.float32))
    assert report.warnings == []


@pytest.mark.usefixtures("coarse")
def test_values_and_residuals_after_a_coarse_search_are_those_of_exact_products() -> None:
    net, data = NETWORKS["deep"], inputs(70)
    values, vectors, residuals = hessian.eigenvectors(net, data, seed=0, k=3, tolerance=1e-2)
    flat = torch.cat([vectors[name].flatten(2) for name in net.parameters], 2)
    moved = flat @ oracle(net, data, "cross_entropy")
    np.testing.assert_allclose((moved * flat).sum(2).numpy(), values, atol=1e-12)
    rest = torch.linalg.vector_norm(moved - torch.from_numpy(values)[..., None] * flat, dim=2)
    np.testing.assert_allclose(rest.numpy(), residuals, atol=1e-10)


@pytest.mark.usefixtures("coarse")
def test_a_coarse_search_that_does_not_end_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products in bfloat16 never leave residuals of 1e-9."""
    monkeypatch.setattr(hessian_search, "COARSE", 0.0)
    net, data = network((20,)), inputs(70)
    exact = np.linalg.eigvalsh(oracle(net, data, "mse").numpy())
    report = hessian.measure(net, data, seed=0, loss="mse", spectrum="none", probes=0, tolerance=1e-9)
    np.testing.assert_allclose(report.results["eigenvalues"].value, exact[:, :-6:-1], rtol=1e-12)
    assert report.warnings == []


@pytest.mark.usefixtures("coarse")
def test_a_tolerance_below_the_rounding_is_searched_for_with_exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(StackProducts, "coarse", lambda products: calls.append(products.count))
    for tolerance, searches in ((1e-2, 1), (1e-3, 1)):
        hessian.measure(network((20,)), inputs(70), seed=0, spectrum="none", probes=0, tolerance=tolerance)
        assert len(calls) == searches


@pytest.mark.usefixtures("coarse")
def test_there_is_no_coarse_search_where_it_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too few inputs, activations that are not kept, a processor without AMX, a network that is not written out."""

    def made(net: Network) -> object:
        return next(Task(net, inputs(70), "mse").groups(4)).coarse()

    net = NETWORKS["tanh"]
    assert made(net) is not None
    assert made(NETWORKS["convolution"]) is None
    for module, name, value in (
        (hessian_stack, "LARGE", 2**18),
        (hessian_stack, "KEPT", 0),
        (hessian_stack, "fast_bfloat16", hessian_tape.fast_bfloat16),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False})
            changed.setattr(module, name, value)
            assert made(net) is None
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert hessian_tape.fast_bfloat16(torch.zeros(1))
    assert not hessian_tape.fast_bfloat16(torch.zeros(1, device="meta"))


def test_what_another_search_found_is_refined_without_a_random_sequence() -> None:
    matrix = symmetric(outliers(300, 10.0, 9.0, 8.0, -5.0))
    theta, x = torch.linalg.eigh(matrix)
    first = x[:, :, [-1, -2, -3, 0]].transpose(1, 2) + 1e-4 * start(4, 300)
    widths = []

    def apply(v: Tensor) -> Tensor:
        widths.append(v.shape[1])
        return v @ matrix

    found = lanczos.eigenpairs(apply, first, top=3, bottom=1, tolerance=1e-2, explored=True)
    assert widths == [4]
    torch.testing.assert_close(found.values, theta[:, [-1, -2, -3, 0]], rtol=1e-4, atol=0)
    refined = lanczos.eigenpairs(apply, first, top=3, bottom=1, tolerance=1e-8, explored=True)
    assert refined.converged
    torch.testing.assert_close(refined.values, theta[:, [-1, -2, -3, 0]], rtol=1e-12, atol=0)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_both_ends_of_equal_eigenvalues_are_different_vectors(dtype: torch.dtype) -> None:
    """A linear network of orthogonal inputs has one eigenvalue, 2 |x|^2 / (C N), in every direction."""
    net = network((), replicas=1, dtype=dtype, bias=False)
    side = net.parameters["layers.0.weight"].shape[2]
    data = Data(5 * torch.eye(side, dtype=dtype), torch.arange(side) % 3)
    both = {"k": 10, "bottom": 10, "tolerance": 1e-2, "probes": 2, "steps": 5}
    found = hessian.measure(net, data, seed=0, loss="mse", spectrum="none", **both).results  # type: ignore[arg-type]
    for name in ("eigenvalues", "bottom_eigenvalues"):
        np.testing.assert_allclose(found[name].value, 50 / (3 * side), rtol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.9, 0.99])
def test_one_row_of_many_that_lies_in_the_basis_leaves_nothing_there(share: float) -> None:
    """Its rest grows with its rounding; the others keep the mean of all lengths from telling."""
    draw = torch.Generator().manual_seed(1)
    q = torch.linalg.qr(torch.randn(2, 3000, 8, generator=draw))[0].transpose(1, 2)
    f = torch.randn(2, 48, 3000, generator=draw) / 3000**0.5
    f[:, 7] = share**0.5 * q[:, 2] + (1 - share) ** 0.5 * f[:, 7]
    found = lanczos._orthonormal(f, q)
    left = torch.bmm(found, q.transpose(1, 2)).abs().amax(2)
    assert left.max() < 1e-7
    torch.testing.assert_close(
        torch.bmm(found, found.transpose(1, 2)), torch.eye(48).expand(2, -1, -1), rtol=0, atol=1e-6
    )


def test_zero_modes_that_are_left_out_are_among_the_ends() -> None:
    """A linear regression's Hessian has no negative mode: its smallest are the zero modes of the constant pixels."""
    net, data = NETWORKS["regression"], inputs(70)
    report = hessian.measure(net, data, seed=0, loss="mse", k=27, bottom=7, spectrum="none", probes=0)
    found = report.results
    exact = np.linalg.eigvalsh(oracle(net, data, "mse").numpy())
    np.testing.assert_allclose(found["eigenvalues"].value, exact[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(found["bottom_eigenvalues"].value, exact[:, :7], atol=1e-12)


def test_one_class_missing_and_one_sample_are_answered() -> None:
    net, data = NETWORKS["tanh"], inputs(1)
    exact = np.linalg.eigvalsh(oracle(net, data, "cross_entropy").numpy())
    found = hessian.measure(net, data, seed=0).results["spectrum"].value
    np.testing.assert_allclose(found, exact, atol=1e-12)


def test_where_all_eigenvalues_are_found_beforehand_there_is_nothing_to_estimate() -> None:
    net, data = network((1,), replicas=2), inputs(70)
    exact = np.linalg.eigvalsh(oracle(net, data, "mse").numpy())
    found = hessian.measure(net, data, seed=0, loss="mse", spectrum="slq", bottom=9).results
    np.testing.assert_allclose(found["spectrum"].value, exact, atol=1e-12)
    np.testing.assert_allclose(found["bottom_eigenvalues"].value, exact[:, :9], atol=1e-12)
    assert found["trace"].error is None


def test_eigenvectors_are_directions_of_the_parameters() -> None:
    net, data = NETWORKS["deep"], inputs(70)
    values, vectors, residuals = hessian.eigenvectors(net, data, seed=0, k=3, tolerance=1e-6)
    flat = torch.cat([vectors[name].flatten(2) for name in net.parameters], 2)
    moved = flat @ oracle(net, data, "cross_entropy")
    rest = torch.linalg.vector_norm(moved - torch.from_numpy(values)[..., None] * flat, dim=2)
    np.testing.assert_allclose(rest.numpy(), residuals, atol=1e-10)
    np.testing.assert_allclose(torch.linalg.vector_norm(flat, dim=2), 1, rtol=1e-10)


def test_iterations_that_stop_early_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lanczos.eigenpairs
    monkeypatch.setattr(hessian_search, "eigenpairs", lambda *args, **kw: found(*args, **kw | {"most": 1}))
    report = hessian.measure(network((20,)), inputs(70), seed=0, tolerance=1e-9, spectrum="none", probes=0)
    assert report.warnings == ["some residuals are above the tolerance of 1e-09: read the eigenvalues' errors"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"loss": "hinge"}, "'loss' must be one of"),
        ({"spectrum": "density"}, "'spectrum' must be one of"),
        ({"k": 0}, "'k' must be from 1 to 63 parameters, found 0"),
        ({"k": 64}, "'k' must be from 1 to 63"),
        ({"bottom": -1}, "'bottom' must be"),
        ({"tolerance": 0.0}, "'tolerance' must be"),
        ({"probes": 1}, "'probes' must be at least 2"),
        ({"steps": 0}, "'steps' must be at least 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(SymbreakError, match=sentence):
        hessian.measure(NETWORKS["tanh"], inputs(20), seed=0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    data, net = inputs(20), NETWORKS["tanh"]
    broken = data.x.clone()
    broken[3, 0, 0, 0] = value
    with pytest.raises(SymbreakError, match=r"NaN or infinity in \['inputs'\]"):
        hessian.measure(net, Data(broken, data.y), seed=0)
    weights = {name: tensor.clone() for name, tensor in net.parameters.items()}
    weights["layers.1.bias"][1, 0] = value
    with pytest.raises(SymbreakError, match=r"layers\.1\.bias"):
        hessian.measure(replace(net, parameters=weights), data, seed=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool])
def test_finite_numbers_whose_sum_overflows_are_finite(dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max if dtype.is_floating_point else 1
    assert hessian_search._finite(torch.full((9,), most, dtype=dtype))


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_no_number_hides_one_that_is_not_finite(wrong: float) -> None:
    assert not hessian_search._finite(torch.tensor([1.0, wrong, 2.0]))
    assert not hessian_search._finite(torch.tensor([-wrong, wrong, 0.0]))


def test_a_hessian_that_overflows_is_refused() -> None:
    net = NETWORKS["linear"]
    large = {name: 1e200 * tensor for name, tensor in net.parameters.items()}
    for spectrum in ("exact", "slq"):
        with pytest.raises(SymbreakError, match="not finite"):
            hessian.measure(replace(net, parameters=large), inputs(20), seed=0, loss="mse", spectrum=spectrum)


def test_exact_spectra_of_large_networks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hessian_search, "EXACT_MOST", 50)
    with pytest.raises(SymbreakError, match="at most 50 parameters, found 63; take spectrum 'slq'"):
        hessian.measure(NETWORKS["tanh"], inputs(20), seed=0, spectrum="exact")


def test_the_oracle_differentiates_what_a_module_computes() -> None:
    """The closed form of linear regression: 2/C of the second moment of (x, 1), once for each class."""
    layer = nn.Linear(8, 3).double()
    data = Data(inputs(30).x.flatten(1), inputs(30).y)
    seen = torch.cat([data.x, torch.ones(30, 1, dtype=F64)], 1)
    expected = torch.linalg.eigvalsh(torch.kron(torch.eye(3, dtype=F64), 2 / 3 * seen.T @ seen / 30))
    torch.testing.assert_close(torch.linalg.eigvalsh(oracle(of_module(layer), data, "mse")[0]), expected)
    assert torch.equal(functional_call(layer, dict(layer.named_parameters()), (data.x,)), layer(data.x))

"""The probe ``lesion`` and the access to residual blocks that it shares with ``layers``."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from symbreak.config.models import MlpSpec, ResnetSpec, ShortcutSpec
from symbreak.errors import SymbreakError
from symbreak.models import model
from symbreak.models.resnet import Resnet
from symbreak.probes import lesion, lesion_runs
from symbreak.probes.blocks import chain, trace
from symbreak.probes.blocks_part import Chain, Step
from symbreak.probes.lesion_paths import counts, gradients, lengths
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.training.losses import LOSSES

State = dict[str, Tensor]
SHORTCUTS: tuple[ShortcutSpec, ...] = (
    ShortcutSpec(),
    ShortcutSpec(kind="scaling", scale=0.5, branch_scale=0.7),
    ShortcutSpec(kind="exclusive_gate", gate_bias=-1.0),
    ShortcutSpec(kind="shortcut_gate", gate_bias=-1.0),
    ShortcutSpec(kind="conv"),
    ShortcutSpec(kind="dropout", dropout=0.5),
    ShortcutSpec(kind="none"),
)


class Block(nn.Module):
    """h + V tanh(U h), rectified if asked."""

    def __init__(self, width: int, rectified: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.rectified = rectified

    def forward(self, h: Tensor) -> Tensor:
        z = h + self.second(torch.tanh(self.first(h)))
        return torch.relu(z) if self.rectified else z


class Residual(nn.Module):
    """A residual MLP with hand-made blocks: what is deleted is left out of ``order``, what is swapped is swapped."""

    def __init__(self, blocks: int = 3, width: int = 6, rectified: bool = False) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, width), nn.Linear(width, 4)
        self.blocks = nn.ModuleList([Block(width, rectified) for _ in range(blocks)])
        self.order = list(range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.stem(x))
        for n in self.order:
            h = self.blocks[n](h)
        return self.head(h)


NAMES = ["blocks.0", "blocks.1", "blocks.2"]


def residual(seed: int = 0, **options: Any) -> Residual:
    torch.manual_seed(seed)
    return Residual(**options).double()


def samples(n: int = 23, seed: int = 1, shape: tuple[int, ...] = (5,), classes: int = 4) -> Data:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((n, *shape), generator=generator, dtype=torch.float64)
    return Data(x, torch.randint(0, classes, (n,), generator=generator))


@torch.no_grad()
def scores(outputs: Tensor, data: Data, loss: str) -> tuple[float, float]:
    losses = LOSSES[loss](outputs[None], data.y[None])
    return float((outputs.argmax(1) == data.y).double().mean()), float(losses.mean())


def our(spec: ResnetSpec, seeds: tuple[int, ...] = (0,)) -> Network:
    built = model.build(spec, (2, 9, 9), 4, torch.float64)
    states = [built.init(seed) for seed in seeds]
    generator = torch.Generator().manual_seed(7)
    for state, name in product(states, states[0]):  # every norm, gate and bias has its own values
        positive = name.endswith("running_var")
        noise = torch.rand(state[name].shape, generator=generator, dtype=torch.float64) - 0.5
        state[name] = state[name] + (noise.abs() if positive else 0.3 * noise)
    return of_model(built, {name: torch.stack([state[name] for state in states]) for name in states[0]})


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("rectified", [False, True])
def test_lesions_of_a_module_are_the_network_without_or_with_exchanged_blocks(rectified: bool, loss: str) -> None:
    nets, data = [residual(seed, rectified=rectified) for seed in (0, 1)], samples()
    network = of_module(residual(2, rectified=rectified), [net.state_dict() for net in nets])
    found = lesion.measure(network, data, seed=0, loss=loss, blocks=NAMES, paths=0).results
    orders = {"": [[0, 1, 2]], "deleted_": [[1, 2], [0, 2], [0, 1]], "swapped_": [[1, 0, 2], [0, 2, 1]]}
    for prefix, choices in orders.items():
        for r, net in enumerate(nets):
            expected = np.array([scores(_ordered(net, order)(data.x), data, loss) for order in choices])
            intact = np.array(scores(_ordered(net, [0, 1, 2])(data.x), data, loss))
            for name, values, whole in zip(("accuracy", "loss"), expected.T, intact, strict=True):
                value = found[f"{prefix}{name}"].value[r]
                np.testing.assert_allclose(value, values if prefix else values[0], rtol=1e-12)
                if prefix:
                    change = found[f"{prefix}{name}_change"].value[r]
                    np.testing.assert_allclose(change, values - whole, atol=1e-12)
    assert found["deleted_block"].value.tolist() == [0, 1, 2]
    assert found["swapped_block"].value.tolist() == [0, 1]


def _ordered(net: Residual, order: list[int]) -> Residual:
    net.order = order
    return net


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("order", ["pre", "post"])
@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=[s.kind for s in SHORTCUTS])
def test_our_resnets_as_chains_are_their_forward_pass(order: Any, norm: Any, shortcut: ShortcutSpec) -> None:
    for stem in ("cifar", "imagenet"):
        spec = ResnetSpec(
            family="resnet", stem=stem, widths=(3, 5), blocks=2, order=order, norm=norm, shortcut=shortcut
        )
        network, x = our(spec), samples(3, shape=(2, 9, 9)).x
        links = chain(network, 0, [], x)
        found = trace(links, x)
        torch.testing.assert_close(found.found, network.outputs(x)[0], rtol=1e-10, atol=1e-10)
        for block, before, after in zip(links.blocks, found.inputs, found.outputs, strict=True):
            terms = block.terms(before)
            assert terms is not None
            whole = sum(terms) if order == "pre" else torch.relu(sum(terms))
            torch.testing.assert_close(whole, after, rtol=1e-10, atol=1e-10)
            half = torch.full((3,), 0.5, dtype=torch.float64)
            torch.testing.assert_close(block.weighted(before, half, half), after, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("order", ["pre", "post"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_deleting_a_block_of_ours_is_setting_its_last_layer_to_zero(order: Any, norm: Any) -> None:
    spec = ResnetSpec(family="resnet", widths=(3, 5), blocks=2, order=order, norm=norm)
    network, data = our(spec, (0, 1)), samples(9, shape=(2, 9, 9))
    found = lesion.measure(network, data, seed=0, paths=0).results
    last = "norm2" if (order, norm) == ("post", "batch") else "conv2"
    assert isinstance(network.model, Resnet)
    for r, (place, block) in product(range(2), enumerate(network.model.blocks)):
        state = network.one(r) | network.held(r)
        for name in (f"{block.name}.{last}.weight", f"{block.name}.{last}.bias"):
            if name in state:
                state[name] = torch.zeros_like(state[name])
        accuracy, loss = scores(network.call(state, data.x), data, "cross_entropy")
        assert found["deleted_accuracy"].value[r, place] == pytest.approx(accuracy, abs=1e-12)
        assert found["deleted_loss"].value[r, place] == pytest.approx(loss, rel=1e-9)
    assert found["swapped_block"].value.tolist() == [0]


def test_swapping_blocks_of_ours_is_exchanging_their_parameters() -> None:
    spec = ResnetSpec(family="resnet", widths=(3,), blocks=3)
    network, data = our(spec), samples(9, shape=(2, 9, 9))
    found = lesion.measure(network, data, seed=0, paths=0).results
    state = network.one(0) | network.held(0)
    for place in (0, 1):
        names = {place: f"stages.0.{place}.", place + 1: f"stages.0.{place + 1}."}
        exchanged = dict(state)
        for name, value in state.items():
            if name.startswith(names[place]):
                other = names[place + 1] + name.removeprefix(names[place])
                exchanged[name], exchanged[other] = state[other], value
        _, loss = scores(network.call(exchanged, data.x), data, "cross_entropy")
        assert found["swapped_loss"].value[0, place] == pytest.approx(loss, rel=1e-9)


def test_chunks_and_a_ragged_last_one_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = of_module(residual()), samples(23)
    whole = lesion.measure(network, data, seed=0, blocks=NAMES, paths=0)
    monkeypatch.setattr(lesion_runs, "HELD", 11 * 6 * 6)
    assert lesion_runs.plan(chain(network, 0, NAMES, data.x), data.x).size == 11
    parts = lesion.measure(network, data, seed=0, blocks=NAMES, paths=0)
    for name, value in whole.results.items():
        np.testing.assert_allclose(parts.results[name].value, value.value, rtol=1e-12, atol=1e-14)


def linear_net(factors: list[float]) -> nn.Sequential:
    """Blocks h -> h + f h of scalars, whose path gradients are products of f."""

    class Scaled(nn.Module):
        def __init__(self, f: float) -> None:
            super().__init__()
            self.f = nn.Parameter(torch.tensor(f, dtype=torch.float64))

        def forward(self, h: Tensor) -> Tensor:
            return h + self.f * h

    return nn.Sequential(*[Scaled(f) for f in factors])


def test_gradients_of_paths_are_products_of_the_blocks_they_take() -> None:
    """In a network of scalar factors the path's gradient is that of the outputs times the factors taken."""
    factors, data = [0.5, 2.0, 3.0], samples(6, shape=(4,))
    network = of_module(linear_net(factors))
    outputs = network.outputs(data.x)[0].requires_grad_()
    (delta,) = torch.autograd.grad(cross_entropy(outputs, data.y, reduction="sum"), outputs)
    size = float(delta.norm(dim=1).mean())
    found = lesion.measure(network, data, seed=0, blocks=["0", "1", "2"]).results
    means = np.array([1, sum(factors) / 3, (0.5 * 2 + 0.5 * 3 + 2 * 3) / 3, 0.5 * 2 * 3])
    np.testing.assert_allclose(found["path_gradient"].value[0], size * means, rtol=1e-12)
    share = means * np.array([1, 3, 3, 1]) / (means @ [1, 3, 3, 1])
    np.testing.assert_allclose(found["path_share"].value[0], share, rtol=1e-12)
    assert found["path_length"].value[0] == pytest.approx(share @ np.arange(4))


class InPlace(nn.Module):
    """What follows its blocks rectifies their output in place."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.head = nn.ModuleList([Block(5), Block(5)]), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x).relu_()
        return self.head(x)


def test_what_is_changed_in_place_between_blocks_is_not_what_was_kept() -> None:
    torch.manual_seed(0)
    net, data = InPlace().double(), samples()
    before = data.x.clone()
    found = lesion.measure(of_module(net), data, seed=0, blocks=["blocks.0", "blocks.1"], paths=0).results
    assert torch.equal(data.x, before)
    first = net.blocks[0](data.x).relu()
    expected = scores(net.head(first), data, "cross_entropy")[1]
    assert found["deleted_loss"].value[0, 1] == pytest.approx(expected, rel=1e-12)
    links = chain(of_module(net), 0, ["blocks.0", "blocks.1"], data.x)
    torch.testing.assert_close(trace(links, data.x).outputs[0], net.blocks[0](data.x))


def test_blocks_that_change_their_input_are_refused() -> None:
    class Changing(Block):
        def forward(self, h: Tensor) -> Tensor:
            return super().forward(h.relu_())

    net = residual()
    net.blocks[1] = Changing(6).double()
    with pytest.raises(SymbreakError, match="in place"):
        lesion.measure(of_module(net), samples(), seed=0, blocks=NAMES)


@pytest.mark.parametrize("rectified", [False, True])
def test_a_path_is_the_product_of_jacobians(rectified: bool) -> None:
    """The oracle multiplies the blocks' Jacobians: of the branch, or of the shortcut behind the ReLU."""
    net, data = residual(rectified=rectified), samples(5)
    links = chain(of_module(net), 0, NAMES, data.x)
    for mask in product([False, True], repeat=3):
        expected = [_path(net, x, y, mask) for x, y in zip(data.x, data.y, strict=True)]
        value, _ = gradients(links, data, LOSSES["cross_entropy"], [np.array([mask, mask])])
        assert value[0] == pytest.approx(np.mean(expected), rel=1e-9)


def _path(net: Residual, x: Tensor, y: Tensor, mask: tuple[bool, ...]) -> float:
    h = torch.relu(net.stem(x))
    total = torch.autograd.functional.jacobian(lambda x: torch.relu(net.stem(x)), x)
    for block, taken in zip(net.blocks, mask, strict=True):
        assert isinstance(block, Block)

        def branch(h: Tensor, block: Block = block) -> Tensor:
            return block.second(torch.tanh(block.first(h)))  # type: ignore[no-any-return]

        slope = ((h + branch(h)) > 0).double() if block.rectified else torch.ones_like(h)
        part = torch.autograd.functional.jacobian(branch, h) if taken else torch.eye(len(h), dtype=h.dtype)
        total, h = slope[:, None] * part @ total, block(h)
    delta = torch.autograd.functional.jacobian(lambda h: cross_entropy(net.head(h)[None], y[None]), h)
    return float((delta @ total).norm())


def test_paths_of_our_resnet_sum_up_to_the_gradient() -> None:
    """Summed over all 2^n paths, gradients (vectors, not their lengths) are the network's own."""
    for order, kind in product(("pre", "post"), ("identity", "exclusive_gate", "conv")):
        spec = ResnetSpec.model_validate(
            {"family": "resnet", "widths": (3, 4), "blocks": 1, "order": order, "shortcut": {"kind": kind}}
        )
        network, data = our(spec), samples(2, shape=(2, 9, 9))
        links = chain(network, 0, [], data.x)
        total = sum(_gradient(links, data, mask) for mask in product((0.0, 1.0), repeat=2))
        torch.testing.assert_close(total, _gradient(links, data, ()), rtol=1e-9, atol=1e-12)


def _gradient(links: Chain, data: Data, masks: tuple[float, ...]) -> Tensor:
    """On the path ``masks``, or without one on all."""
    x = data.x.clone().requires_grad_()
    takes = [torch.full((2,), mask, dtype=x.dtype) for mask in masks]
    steps: dict[int, Step] = {n: partial(links.blocks[n].weighted, keep=1 - t, take=t) for n, t in enumerate(takes)}
    return torch.autograd.grad(cross_entropy(links.run(x, steps), data.y), x)[0]


def test_sampled_lengths_have_their_branches_and_binomial_counts() -> None:
    chosen = lengths(9, 20, seed=3)
    assert [set(masks.sum(1).tolist()) for masks in chosen] == [{k} for k in range(10)]
    assert [len(masks) for masks in chosen] == [1, 9, 20, 20, 20, 20, 20, 20, 9, 1]
    assert len({tuple(row) for row in chosen[1]}) == 9
    np.testing.assert_allclose(counts(54)[5:18].sum(), 0.00454, atol=5e-6)  # Veit et al., section 4.3


def test_errors_of_path_gradients_cover_the_truth() -> None:
    """With sampled paths of scalar factors, errors measure the distance to the mean over all paths."""
    factors = [0.2, 0.5, 1.0, 2.0, 0.1, 3.0, 0.7, 1.5]
    network, data = of_module(linear_net(factors)), samples(4, shape=(4,))
    links = chain(network, 0, [str(n) for n in range(8)], data.x)
    outputs = network.outputs(data.x)[0].requires_grad_()
    (delta,) = torch.autograd.grad(cross_entropy(outputs, data.y, reduction="sum"), outputs)
    truth = float(delta.norm(dim=1).mean()) * np.poly(-np.array(factors))[3] / 56  # e_3 / binomial(8, 3)
    far = []
    for seed in range(40):
        value, error = gradients(links, data, LOSSES["cross_entropy"], [lengths(8, 20, seed)[3]])
        far.append(abs(value[0] - truth) / error[0])
    assert 0.2 < np.mean(far) < 1.5


def test_a_plain_network_passes_on_what_a_deleted_block_got_and_has_no_paths() -> None:
    spec = ResnetSpec(family="resnet", widths=(3, 5), blocks=2, shortcut=ShortcutSpec(kind="none"))
    network, data = our(spec), samples(9, shape=(2, 9, 9))
    report = lesion.measure(network, data, seed=0)
    assert report.results["deleted_block"].value.tolist() == [0, 1, 3]
    assert "path_gradient" not in report.results
    assert len(report.warnings) == 2
    links = chain(network, 0, [], data.x)
    expected = scores(links.run(data.x, {1: lambda h: h}), data, "cross_entropy")[1]
    assert report.results["deleted_loss"].value[0, 1] == pytest.approx(expected)


def test_the_users_module_is_left_as_it_was() -> None:
    net, data = residual(), samples()
    before = net(data.x)
    lesion.measure(of_module(net), data, seed=0, blocks=NAMES, paths=2, path_samples=3)
    assert all("forward" not in vars(block) for block in net.modules())
    assert torch.equal(net(data.x), before)


def test_every_result_has_an_error_unless_it_is_exact() -> None:
    results = lesion.measure(of_module(residual()), samples(), seed=0, blocks=NAMES).results
    assert {n for n, v in results.items() if v.error is None} == {"deleted_block", "swapped_block", "path_count"}
    assert all(np.isfinite(v.value).all() for v in results.values())
    everything = lesion.measure(of_module(residual()), samples(), seed=0, blocks=NAMES).as_json()
    assert everything["path_gradient"]["shape"] == [1, 4]


class Concatenated(nn.Module):
    """A block that is none: it replaces its input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 5), nn.Tanh())
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "name the residual blocks"),
        (["blocks.7"], "no submodule 'blocks.7'"),
        (["blocks.1", "blocks.0"], "in this order"),
        (["blocks.0", "blocks.0"], "once each"),
        (["blocks.0", "blocks.0.first"], "in the order given"),
        (["stem"], "shape"),
    ],
)
def test_blocks_that_cannot_be_are_refused(names: list[str], sentence: str) -> None:
    with pytest.raises(SymbreakError, match=sentence):
        lesion.measure(of_module(residual()), samples(), seed=0, blocks=names)


def test_what_is_no_residual_block_is_refused() -> None:
    torch.manual_seed(0)
    with pytest.raises(SymbreakError, match="not of the form"):
        lesion.measure(of_module(Concatenated().double()), samples(), seed=0, blocks=["body"])
    mlp = model.build(MlpSpec(family="mlp", hidden=(3,)), (5, 1, 1), 4, torch.float64)
    state = {name: value[None] for name, value in mlp.init(0).items()}
    with pytest.raises(SymbreakError, match="no residual blocks"):
        lesion.measure(of_model(mlp, state), samples(shape=(5, 1, 1)), seed=0)
    with pytest.raises(SymbreakError, match="are known"):
        network = our(ResnetSpec(family="resnet", widths=(3,)))
        lesion.measure(network, samples(shape=(2, 9, 9)), seed=0, blocks=["stages.0.0"])


def test_overflow_options_and_nan_are_refused() -> None:
    net, data = residual(), samples()
    with torch.no_grad():
        net.head.weight.mul_(1e308)
    with pytest.raises(SymbreakError, match=r"NaN or infini"):
        lesion.measure(of_module(net), data, seed=0, blocks=NAMES)
    with pytest.raises(SymbreakError, match="'paths'"):
        lesion.measure(of_module(residual()), data, seed=0, blocks=NAMES, paths=1)
    data.x[0, 0] = float("nan")
    with pytest.raises(SymbreakError, match="NaN"):
        lesion.measure(of_module(residual()), data, seed=0, blocks=NAMES)

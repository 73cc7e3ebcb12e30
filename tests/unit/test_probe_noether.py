"""The probe of Noether charges, on networks that torch trains here, against sums written out, laws and groups."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from symbreak.config.models import MlpSpec, ResnetSpec, VggSpec
from symbreak.config.specs import OptimiserSpec, TrainingSpec
from symbreak.errors import SymbreakError
from symbreak.models.model import build
from symbreak.probes import noether, noether_drive, symmetries_traced
from symbreak.probes.network import Data, Network, of_model, of_module
from symbreak.probes.report import Report
from symbreak.probes.symmetries_traced import SAMPLES, Found, find_symmetries
from symbreak.probes.symmetry_sets import SymmetrySet
from symbreak.theory.noether import HeavyBall
from symbreak.training.observers import charges

TINY = 1e-60  # torch.nn.BatchNorm refuses an epsilon of zero
BALL = HeavyBall(0.03, 0.6, 1e-2)
PLAIN = HeavyBall(0.03, 0.0, 1e-2)
CLASSES, SHAPE = 4, (2, 6, 6)
State = dict[str, Tensor]


class Residual(nn.Module):
    """Units of ``first`` go through a ReLU and around a branch: no scale of theirs is free, those inside it are."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = nn.Linear(72, 6), nn.Linear(6, 5)
        self.outer, self.head = nn.Linear(5, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x.flatten(1)))
        return self.head(h + self.outer(torch.relu(self.inner(h))))


class Shared(nn.Module):
    """One layer used twice, and a forked one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.head = nn.Linear(72, 6), nn.Linear(6, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(x.flatten(1)))
        return self.head(torch.relu(self.twice(torch.relu(self.twice(h)))))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(72, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.head(x.flatten(1))
        return h if float(h.sum()) > 0 else -h


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4, eps=TINY),
        nn.LeakyReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.ReLU(inplace=True),
        nn.AvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.0),
        nn.Linear(4, 6, bias=False),
        nn.LayerNorm(6, eps=TINY),
        nn.Identity(),
        nn.Linear(6, 5),
        nn.Tanh(),
        nn.Linear(5, CLASSES),
    )


def plain(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 6), activation, nn.Linear(6, CLASSES))


def normed() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.BatchNorm1d(8, eps=TINY), nn.ReLU(), nn.Linear(8, CLASSES))


def pooled() -> nn.Module:
    """Classes made by a convolution: every tap of every input channel may be shifted over them."""
    head = nn.Conv2d(3, CLASSES, 3)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.GELU(), head, nn.AdaptiveAvgPool2d(1), nn.Flatten())


HEAD = {"translation/head.weight": CLASSES + 2, "translation/head.bias": 1}
CASES: dict[str, tuple[Callable[[], nn.Module], dict[str, int]]] = {
    "convolutional": (
        convolutional,
        {
            "scale/0": 4,
            "rescale/1": 4,
            "rescale/4": 4,
            "scale/9": 1,
            "rescale/10": 6,
            "translation/14.weight": 5,
            "translation/14.bias": 1,
        },
    ),
    "normed": (
        normed,
        {"scale/1": 8, "rescale/2": 8, "translation/4.weight": 8, "translation/4.bias": 1},
    ),
    "relu": (lambda: plain(nn.ReLU()), {"rescale/1": 6, "translation/3.weight": 6, "translation/3.bias": 1}),
    "tanh": (lambda: plain(nn.Tanh()), {"translation/3.weight": 6, "translation/3.bias": 1}),
    "capped": (lambda: plain(nn.ReLU6()), {"translation/3.weight": 6, "translation/3.bias": 1}),
    "residual": (Residual, {"rescale/inner": 5} | HEAD),
    "shared": (Shared, HEAD),
    "pooled": (pooled, {"translation/2.weight": 27, "translation/2.bias": 1}),
}


def examples(count: int = 48) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, *SHAPE, generator=generator, dtype=torch.float64)
    return Data(x, torch.randint(CLASSES, (count,), generator=generator))


def made(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return CASES[name][0]().double()


def value(module: nn.Module, data: Data, loss: str) -> Tensor:
    outputs = module(data.x)
    if loss == "mse":
        return (outputs - one_hot(data.y, CLASSES)).square().mean()
    return cross_entropy(outputs, data.y)


def trained(module: nn.Module, ball: HeavyBall, steps: int, loss: str = "cross_entropy", batch: int = 16) -> Network:
    """A trajectory of real SGD steps on random batches, in train mode."""
    data, generator = examples(), torch.Generator().manual_seed(2)
    dtype = next(module.parameters()).dtype
    optimiser = torch.optim.SGD(module.parameters(), lr=ball.lr, momentum=ball.momentum, weight_decay=ball.decay)
    history = [copied(module)]
    for _ in range(steps):
        rows = torch.randperm(len(data.x), generator=generator)[:batch]
        optimiser.zero_grad()
        value(module.train(), Data(data.x[rows].to(dtype), data.y[rows]), loss).backward()
        optimiser.step()
        history.append(copied(module))
    return of_module(module, history)


def copied(module: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def report_of(network: Network, ball: HeavyBall = BALL, **options: object) -> Report:
    constants = {"lr": ball.lr, "momentum": ball.momentum, "weight_decay": ball.decay}
    return noether.measure(network, examples(), **{"seed": 0, **constants, **options})  # type: ignore[arg-type]


def worst(report: Report, quantity: str) -> dict[str, float]:
    ending = f"/{quantity}"
    return {n.removesuffix(ending): float(v.value.max()) for n, v in report.results.items() if n.endswith(ending)}


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", CASES)
def test_finds_the_symmetries_and_no_others(name: str, loss: str) -> None:
    expected = {k: v for k, v in CASES[name][1].items() if loss == "cross_entropy" or not k.startswith("translation")}
    found = find_symmetries(of_module(made(name)), examples(), seed=0, loss=loss)
    assert {s.name: s.units for s in found.sets} == expected
    assert not found.warnings


@pytest.mark.parametrize("name", CASES)
def test_real_sgd_steps_obey_the_exact_law(name: str) -> None:
    report = report_of(trained(made(name), BALL, 25))
    assert worst(report, "stray").keys() == CASES[name][1].keys()
    assert max(worst(report, "stray").values()) < 1e-12
    assert max(worst(report, "breaking").values()) < 1e-12
    assert not report.warnings


@pytest.mark.parametrize("name", ["convolutional", "residual"])
def test_the_loss_does_not_change_along_the_group(name: str) -> None:
    module, data = made(name).train(), examples(20)
    start, step = copied(module), 1e-3
    with torch.no_grad():
        for chosen in find_symmetries(of_module(module), examples(), seed=0).sets:
            module.train()
            for unit in range(chosen.units):
                amounts = torch.zeros(chosen.units, dtype=torch.float64)
                amounts[unit] = step
                found = []
                for sign in (1, -1):
                    module.load_state_dict(chosen.act(start, sign * amounts))
                    found.append(float(value(module, data, "cross_entropy")))
                assert abs(found[0] - found[1]) / (2 * step) < 1e-10, (chosen.name, unit)


@pytest.mark.parametrize(("name", "layer"), [("residual", "first"), ("tanh", "1"), ("shared", "first")])
def test_a_false_pair_would_be_caught_by_the_loss(name: str, layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verification alone must refuse pairs that the graph does not suggest."""
    following = {"first": "inner" if name == "residual" else "twice", "1": "3"}[layer]
    into, out = torch.arange(6).repeat_interleave(72), torch.arange(6).repeat(5 if name == "residual" else 6)
    out = torch.arange(6).repeat(CLASSES) if name == "tanh" else out
    false = SymmetrySet("rescale", layer, 6, {f"{layer}.weight": into}, {f"{following}.weight": out})
    monkeypatch.setattr(symmetries_traced, "candidates", lambda *args: iter([false]))
    found = find_symmetries(of_module(made(name)), examples(), seed=0)
    assert not found.sets
    assert f"rescale/{layer} looks like a symmetry in the graph, but moving along it changes" in found.warnings[0]


def test_charges_are_the_sums_they_say() -> None:
    network = trained(made("convolutional"), BALL, 3)
    report, last = report_of(network), network.one(3)
    filters = [float(last["0.weight"][u].square().sum() + last["0.bias"][u] ** 2) for u in range(4)]
    assert report.results["scale/0/charge"].value[3] == pytest.approx(filters, rel=1e-13)
    gains = [float(last["1.weight"][u] ** 2 + last["1.bias"][u] ** 2) for u in range(4)]
    # two groups: channels 0, 1 go to filters 0, 1 and channels 2, 3 to filters 2, 3
    out = [float(last["4.weight"][(u // 2) * 2 : (u // 2) * 2 + 2, u % 2].square().sum()) for u in range(4)]
    assert report.results["rescale/1/charge"].value[3] == pytest.approx(np.subtract(out, gains), rel=1e-12)
    assert report.results["scale/9/charge"].value[3, 0] == pytest.approx(float(last["9.weight"].square().sum()))
    shift = last["14.weight"].sum(0).tolist()
    assert report.results["translation/14.weight/charge"].value[3] == pytest.approx(shift, rel=1e-11)


def test_flattened_channels_belong_to_one_unit() -> None:
    head = nn.Linear(3 * 16, CLASSES)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), head).double()
    (pair, *_) = find_symmetries(of_module(module), examples(), seed=0).sets
    assert (pair.name, pair.units) == ("rescale/0", 3)
    assert torch.equal(pair.outgoing["3.weight"].view(CLASSES, 3, 16), torch.arange(3).view(1, 3, 1).expand(4, 3, 16))


def test_float32_steps_obey_the_law_within_the_bound_on_rounding() -> None:
    report = report_of(trained(made("relu").float(), BALL, 40))
    for name, units in CASES["relu"][1].items():
        law, charge = report.results[f"{name}/predicted"], report.results[f"{name}/charge"].value
        assert charge.shape == (41, units)
        assert law.error is not None
        assert (np.abs(law.value - charge) <= law.error).all()
    assert 1e-12 < max(worst(report, "stray").values()) < 1e-6
    assert not report.warnings


def test_epsilon_is_reported_as_what_breaks_the_scale_symmetry() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(72, 3), nn.BatchNorm1d(3, eps=0.1), nn.Linear(3, CLASSES)).double()
    network = trained(module, PLAIN, 3)
    report, data = report_of(network, PLAIN), Data(*(part[:SAMPLES] for part in vars(examples()).values()))
    cosines = []
    for r in (0, 3):
        module.load_state_dict(network.one(r) | network.held(r))
        gradient = torch.autograd.grad(value(module.train(), data, "cross_entropy"), [*module[1].parameters()])
        weights = [parameter.detach() for parameter in module[1].parameters()]
        both = [torch.cat([w, b[:, None]], 1) for w, b in (gradient, weights)]
        cosines.append((both[0] * both[1]).sum(1).abs() / both[0].norm(dim=1) / both[1].norm(dim=1))
    assert report.results["scale/1/breaking"].value == pytest.approx(torch.stack(cosines).amax(0).numpy(), rel=1e-9)
    assert report.results["scale/1/breaking"].value.max() > 1e-3
    assert any("scale/1 is a symmetry only without the norm's epsilon" in w for w in report.warnings)


def test_a_trajectory_taken_up_in_motion() -> None:
    whole = trained(made("relu"), BALL, 20)
    late = Network({n: v[8:] for n, v in whole.parameters.items()}, {}, whole.call, module=whole.module)
    moving, resting = report_of(late, rest=False), report_of(late)
    assert max(worst(moving, "stray").values()) < 1e-12
    assert not moving.warnings
    assert worst(resting, "stray")["rescale/1"] > 1e-3
    assert any("first moment was not at rest" in warning for warning in resting.warnings)


@pytest.mark.parametrize("ball", [PLAIN, BALL])
def test_distant_moments_are_predicted_within_the_error(ball: HeavyBall) -> None:
    every, whole = 10, trained(made("normed"), ball, 200)
    sparse = Network(
        {n: v[::every] for n, v in whole.parameters.items()},
        {n: v[::every] for n, v in whole.buffers.items()},
        whole.call,
        module=whole.module,
    )
    report = report_of(sparse, ball, steps=every, batch=16)
    assert worst(report, "stray")["translation/4.weight"] < 1e-12
    for name in ("scale/1", "rescale/2"):
        law, charge = report.results[f"{name}/predicted"], report.results[f"{name}/charge"].value
        assert law.error is not None
        missed = np.abs(law.value - charge) > 3 * law.error + 1e-12
        assert missed.mean() < 0.01
        undriven = charge[0] * np.exp(-2 * ball.lr * ball.decay / (1 - ball.momentum) * 200)
        driven = np.abs(charge[-1] - undriven).sum()
        assert np.abs(law.value[-1] - undriven).sum() == pytest.approx(driven, rel=0.3)
        assert law.error[-1].sum() < 0.6 * driven
    assert not any("strays" in warning for warning in report.warnings)


def test_estimated_increments_have_the_mean_that_white_noise_gives() -> None:
    """Pulls ``m + noise``: D is known in closed form, and its estimate must not be biased by few draws."""
    ball, draws = HeavyBall(0.1, 0.8), 3
    chosen = SymmetrySet("scale", "w", 1, {"w": torch.zeros(5, dtype=torch.int64)})
    drive = noether_drive.Drive(of_module(nn.Linear(1, 1)), examples(), ball, "cross_entropy", 4, draws, 0)
    mean, generator = torch.arange(5.0, dtype=torch.float64), torch.Generator().manual_seed(3)
    found = []
    for _ in range(4_000):
        noise = torch.randn(draws, 5, generator=generator, dtype=torch.float64)
        found.append(drive._increments(chosen, [{"w": mean + one} for one in noise]).mean())
    expected = 0.1**2 * (5 / (1 - 0.8**2) + 30 / (1 - 0.8) ** 2)
    estimates = torch.stack(found)
    assert abs(float(estimates.mean()) - expected) < 4 * float(estimates.std()) / 4_000**0.5
    assert float(estimates.std()) / 4_000**0.5 < 0.01 * expected


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_agrees_with_the_observer_of_our_own_networks(norm: str) -> None:
    spec = MlpSpec.model_validate({"family": "mlp", "hidden": (6, 5), "norm": norm, "norm_eps": 0.0})
    model = build(spec, SHAPE, CLASSES, torch.float64)
    observer = charges.build(
        model,  # type: ignore[arg-type]
        TrainingSpec(steps=1, batch=2, loss="cross_entropy", optimiser=OptimiserSpec(name="sgd", lr=0.1)),
        {"units": 100},
    )
    states = [{name: value[None] for name, value in model.init(seed).items()} for seed in range(3)]
    observer.start(states[0])
    for before, after in pairwise(states):
        observer.step(before, {}, after)
    observed = observer.tensors()
    moments = {name: torch.cat([state[name] for state in states]) for name in states[0]}
    report = noether.measure(of_model(model, moments), examples(), seed=0)
    shared = {
        f"{layer.replace('/layers.2', '/layers.2.weight')}/charge": tensor
        for name, tensor in observed.items()
        if "control." not in name and ".sum/" not in name and not name.endswith("/D")
        for layer in [name.rpartition("/")[0]]
    }
    assert len(shared) == 3
    for name, tensor in shared.items():
        assert report.results[name].value == pytest.approx(tensor[:, 0].numpy(), rel=1e-12), name


def names_of(spec: VggSpec | ResnetSpec) -> set[str]:
    model = build(spec, (2, 8, 8), CLASSES, torch.float64)
    state = {name: value[None] for name, value in model.init(0).items()}
    x = torch.randn(8, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = find_symmetries(of_model(model, state), Data(x, torch.arange(8) % CLASSES), seed=0)
    assert not found.warnings
    return {s.name for s in found.sets if s.symmetry != "translation"}


def test_our_convolutional_families() -> None:
    vgg = VggSpec(family="vgg", stages=((3,), (4,)), hidden=(5,), norm="none")
    assert names_of(vgg) == {"rescale/stages.0.0.conv", "rescale/stages.1.0.conv", "rescale/hidden.0"}
    bare = ResnetSpec(family="resnet", widths=(2, 3), norm="none")
    assert names_of(bare) == {"rescale/stages.0.0.conv1", "rescale/stages.1.0.conv1"}
    before = ResnetSpec(family="resnet", widths=(2, 2), order="pre")
    # in pre-activation blocks the last convolution goes into the sum: no norm undoes its scale
    assert not any(name.endswith("conv2") for name in names_of(before))
    assert {"scale/stages.0.0.conv1", "rescale/stages.1.0.norm2"} <= names_of(before)


def test_blocks_of_moments_do_not_change_the_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    network = trained(made("relu"), BALL, 7)
    whole = report_of(network)
    monkeypatch.setattr(noether, "MOST_BYTES", 3 * 8 * (6 * 73 + CLASSES * 6))
    blocks = report_of(network)
    for name, found in whole.results.items():
        assert blocks.results[name].value == pytest.approx(found.value, rel=1e-15, abs=1e-15), name


def test_blocks_of_units_do_not_change_a_driven_law(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    start, drive = generator.random(5), generator.random((3, 4, 5))
    whole = noether_drive.driven("scale", start, drive, BALL, 6)
    monkeypatch.setattr(noether_drive, "MOST_BYTES", 2 * 8 * 3 * 3 * 6)
    for one, two in zip(whole, noether_drive.driven("scale", start, drive, BALL, 6), strict=True):
        assert one == pytest.approx(two, rel=1e-15)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=6, max_size=6))
def test_the_action_multiplies_the_sums_and_does_not_move_the_outputs(amounts: list[float]) -> None:
    network, moves = of_module(made("relu")), torch.tensor(amounts, dtype=torch.float64)
    (pair, *_) = find_symmetries(network, examples(4), seed=0).sets
    moved = pair.act(network.one(0), moves)
    torch.testing.assert_close(
        network.call(moved, examples().x), network.outputs(examples().x)[0], rtol=1e-11, atol=1e-12
    )
    into = SymmetrySet("scale", pair.layer, 6, pair.incoming)
    before, after = (into.charges({n: v[None] for n, v in s.items()})[0] for s in (network.one(0), moved))
    torch.testing.assert_close(after, before * (2 * moves).exp(), rtol=1e-12, atol=0)


def test_without_learning_rate_nothing_is_predicted() -> None:
    report = noether.measure(trained(made("relu"), BALL, 2), examples(), seed=0)
    assert {name.rsplit("/", 1)[1] for name in report.results} == {"charge", "breaking"}
    assert "no learning rate was given, so nothing is predicted; set 'lr'" in report.warnings


def test_an_unknown_operation_is_named() -> None:
    found: Found = find_symmetries(of_module(plain(nn.Hardshrink()).double()), examples(), seed=0)
    assert [w for w in found.warnings if "'hardshrink' follows the units of '1'" in w]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"lr": 0.0}, "expected lr > 0"),
        ({"momentum": 1.0}, "0 <= momentum < 1"),
        ({"weight_decay": float("nan")}, "weight_decay >= 0"),
        ({"steps": 0}, "'steps' of 1 or more"),
        ({"steps": 5}, "'batch' of 2 to 48"),
        ({"steps": 5, "batch": 49}, "found draws 8 and batch 49"),
        ({"steps": 5, "batch": 8, "draws": 1}, "2 or more 'draws'"),
        ({"steps": 5, "rest": False}, "found 3 moments 5 updates apart"),
        ({"loss": "hinge"}, "found 'hinge'"),
    ],
)
def test_refuses_impossible_options(options: dict[str, object], match: str) -> None:
    with pytest.raises(SymbreakError, match=match):
        report_of(trained(made("relu"), BALL, 2), **options)


def test_refuses_what_it_cannot_follow() -> None:
    with pytest.raises(SymbreakError, match="weights at 2 or more moments, found 1"):
        report_of(of_module(made("relu")))
    with pytest.raises(SymbreakError, match="cannot be traced"):
        find_symmetries(of_module(Branching().double()), examples(), seed=0)
    with pytest.raises(SymbreakError, match="at least 2 samples, found 1"):
        find_symmetries(of_module(made("relu")), examples(1), seed=0)
    with pytest.raises(SymbreakError, match="found none in this network"):
        report_of(trained(made("tanh"), BALL, 1, "mse"), loss="mse")
    module = made("relu")
    with torch.no_grad():
        next(module.parameters())[0, 0] = torch.nan
    with pytest.raises(SymbreakError, match="found NaN or infinity"):
        find_symmetries(of_module(module), examples(), seed=0)

"""Ensembles against the plain PyTorch that anyone would write for one network, in float64."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from symbreak.config.models import ModelSpec
from symbreak.config.specs import OptimiserSpec, TrainingSpec
from symbreak.models.model import State, build
from symbreak.seeding import derive
from symbreak.training.engine import Trained, train
from symbreak.training.examples import Examples

SHAPE, CLASSES, SEEDS = (2, 8, 8), 5, (3, 11, 12)


class PlainMlp(nn.Module):
    def __init__(self, activation: str, norm: str, *, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        sizes = [(128, 9), (9, 6), (6, CLASSES)]
        self.layers = nn.ModuleList(nn.Linear(*size, bias=bias) for size in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm1d(out, eps=eps) for _, out in sizes[:2] if norm == "batch")
        self.activation = {"relu": torch.relu, "tanh": torch.tanh, "erf": torch.erf, "sigmoid": torch.sigmoid}[
            activation
        ]

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for n, layer in enumerate(self.layers[:-1]):
            x = layer(x)
            x = self.activation(self.norms[n](x) if len(self.norms) else x)
        return self.layers[-1](x)


class PlainGaussnet(nn.Module):
    def __init__(self, sigma_w: float, sigma_b: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(128, 7), nn.Linear(7, CLASSES)])
        self.sigma_w, self.sigma_b = sigma_w, sigma_b

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        exponent = 2 * (self.sigma_b**2 + self.sigma_w**2 * (x**2).sum(1, keepdim=True) / 128)
        return self.layers[1](torch.exp(self.layers[0](x)) / torch.sqrt(torch.exp(exponent)))


class PlainBlock(nn.Module):
    def __init__(self, fan_in: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(fan_in, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride > 1 or fan_in != out:
            self.shortcut.add_module("conv", nn.Conv2d(fan_in, out, 1, stride, bias=False))
            self.shortcut.add_module("norm", nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(h + self.shortcut(x))


class PlainResnet(nn.Module):
    def __init__(self, stem: str) -> None:
        super().__init__()
        self.stem = nn.Sequential()
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.stem.add_module("conv", nn.Conv2d(2, 4, kernel, stride, kernel // 2, bias=False))
        self.stem.add_module("norm", nn.BatchNorm2d(4))
        self.pool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        self.stages = nn.ModuleList(
            nn.Sequential(PlainBlock(fan_in, out, stride), PlainBlock(out, out, 1))
            for fan_in, out, stride in ((4, 4, 1), (4, 6, 2))
        )
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.pool(torch.relu(self.stem(x)))
        for stage in self.stages:
            h = stage(h)
        return self.head(h.mean((2, 3)))


SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
ADAM = {"name": "adam", "lr": 0.01, "weight_decay": 1e-2}
MLP = {"family": "mlp", "hidden": (9, 6)}
RESNET = {"family": "resnet", "widths": (4, 6), "blocks": 2}
CASES = {
    "mlp relu, sgd with momentum": (MLP, lambda: PlainMlp("relu", "none"), SGD, "cross_entropy"),
    "mlp tanh, plain sgd, mse": (
        MLP | {"activation": "tanh"},
        lambda: PlainMlp("tanh", "none"),
        {"name": "sgd", "lr": 0.1},
        "mse",
    ),
    "mlp erf, lecun, adam": (
        MLP | {"activation": "erf", "init": "lecun"},
        lambda: PlainMlp("erf", "none"),
        ADAM,
        "cross_entropy",
    ),
    "mlp sigmoid, BatchNorm": (
        MLP | {"activation": "sigmoid", "norm": "batch"},
        lambda: PlainMlp("sigmoid", "batch"),
        SGD,
        "cross_entropy",
    ),
    "mlp relu, BatchNorm, no bias": (
        MLP | {"norm": "batch", "norm_eps": 0.1, "bias": False},
        lambda: PlainMlp("relu", "batch", eps=0.1, bias=False),
        ADAM,
        "mse",
    ),
    "gaussnet": (
        {"family": "gaussnet", "width": 7, "sigma_w": 1.3, "sigma_b": 0.7},
        lambda: PlainGaussnet(1.3, 0.7),
        ADAM,
        "cross_entropy",
    ),
    "resnet, cifar stem": (RESNET, lambda: PlainResnet("cifar"), SGD, "cross_entropy"),
    "resnet, imagenet stem": (RESNET | {"stem": "imagenet"}, lambda: PlainResnet("imagenet"), ADAM, "cross_entropy"),
}


def ensemble(model: dict, optimiser: dict, loss: str, examples: Examples, **more: object) -> list[Trained]:
    settings = {"epochs": 2, "batch": 6, "optimiser": optimiser, "loss": loss, "dtype": "float64"} | more
    spec = TrainingSpec.model_validate(settings)
    built = build(TypeAdapter(ModelSpec).validate_python(model), SHAPE, CLASSES, torch.float64)
    return train(spec, built, SEEDS, examples, examples, device=torch.device("cpu"), label="test")


def random_examples(copies: int, labels: int, count: int = 16) -> Examples:
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(copies, count, *SHAPE, generator=draw, dtype=torch.float64)
    return Examples(x, torch.randint(CLASSES, (labels, count), generator=draw), lambda images: images)


def plain_loss(kind: str, outputs: Tensor, labels: Tensor) -> Tensor:
    if kind == "cross_entropy":
        return nn.functional.cross_entropy(outputs, labels)
    return nn.functional.mse_loss(outputs, nn.functional.one_hot(labels, CLASSES).double())


def trained_alone(
    net: nn.Module, optimiser: dict, kind: str, x: Tensor, y: Tensor, orders: list[np.ndarray]
) -> list[float]:
    """Train one network the usual way for an epoch an order, in batches of 6."""
    spec = OptimiserSpec.model_validate(optimiser)
    if spec.name == "adam":
        torch_optimiser = torch.optim.Adam(net.parameters(), lr=spec.lr, weight_decay=spec.weight_decay, foreach=False)
    else:
        options = {"momentum": spec.momentum, "weight_decay": spec.weight_decay, "foreach": False}
        torch_optimiser = torch.optim.SGD(net.parameters(), lr=spec.lr, **options)
    losses = []
    for order in orders:
        for rows in torch.from_numpy(order).split(6):
            torch_optimiser.zero_grad()
            loss = plain_loss(kind, net(x[rows]), y[rows])
            loss.backward()
            torch_optimiser.step()
            losses.append(loss.item())
    return losses


def as_module(make: object, state: State, replica: int) -> nn.Module:
    net = make().double()
    missing, unexpected = net.load_state_dict({n: v[replica].clone() for n, v in state.items()}, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return net


@pytest.mark.parametrize("case", CASES)
def test_two_epochs_are_those_of_a_plain_loop(case: str) -> None:
    model, make, optimiser, loss = CASES[case]
    examples = random_examples(len(SEEDS), len(SEEDS))
    groups = ensemble(model, optimiser, loss, examples)
    replicas = [(group, n) for group in groups for n in range(len(group.seeds))]
    for r, (seed, (group, n)) in enumerate(zip(SEEDS, replicas, strict=True)):
        net = as_module(make, group.checkpoints[0], n)
        orders = [np.random.default_rng(derive(seed, "order", str(epoch))).permutation(16) for epoch in (1, 2)]
        losses = trained_alone(net, optimiser, loss, examples.images[r], examples.labels[r], orders)
        torch.testing.assert_close(
            group.losses[:, n], torch.tensor(losses, dtype=torch.float64), rtol=1e-10, atol=1e-12
        )
        for name, value in group.checkpoints[6].items():
            torch.testing.assert_close(
                value[n], net.state_dict()[name], rtol=1e-9, atol=1e-11, msg=lambda m, s=name: s + m
            )
        net.eval()
        outputs = net(examples.images[r])
        score = group.epochs[2].train
        assert score is not None
        assert score.loss[n].item() == pytest.approx(plain_loss(loss, outputs, examples.labels[r]).item(), rel=1e-9)
        assert score.correct[n].item() == (outputs.argmax(1) == examples.labels[r]).sum().item()


@pytest.mark.parametrize("case", ["mlp relu, sgd with momentum", "mlp sigmoid, BatchNorm", "gaussnet"])
@pytest.mark.parametrize("labels", [1, 3])
def test_a_shared_batch_is_a_batch_that_happens_to_be_the_same(case: str, labels: int) -> None:
    model, _, optimiser, loss = CASES[case]
    shared = random_examples(1, labels)
    copied = Examples(shared.images.expand(3, *shared.images.shape[1:]).clone(), shared.labels, shared.convert)
    (one,) = ensemble(model, optimiser, loss, shared, order="shared", order_seeds=[8])
    (other,) = ensemble(model, optimiser, loss, copied, order="shared", order_seeds=[8])
    torch.testing.assert_close(one.losses, other.losses, rtol=1e-11, atol=0)
    for name, value in one.checkpoints[6].items():
        torch.testing.assert_close(value, other.checkpoints[6][name], rtol=1e-9, atol=1e-12)
    order = np.random.default_rng(derive(8, "order", "1")).permutation(16)[:6]
    outputs = build(TypeAdapter(ModelSpec).validate_python(model), SHAPE, CLASSES, torch.float64).forward(
        one.checkpoints[0], shared.images[:, order], train=True
    )
    first = plain_loss(loss, outputs[2], shared.labels[-1, order])
    assert one.losses[0, 2].item() == pytest.approx(first.item(), rel=1e-12)


@pytest.mark.parametrize("case", ["mlp relu, sgd with momentum", "mlp relu, BatchNorm, no bias", "gaussnet"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
def test_a_replica_alone_is_the_replica_in_the_ensemble(case: str, dtype: str, tolerance: float) -> None:
    model, _, optimiser, loss = CASES[case]
    draw = random_examples(1, 1, count=30)
    kind = getattr(torch, dtype)
    examples = Examples(draw.images.to(kind), draw.labels, draw.convert)
    spec = TrainingSpec.model_validate({"epochs": 2, "batch": 6, "optimiser": optimiser, "loss": loss, "dtype": dtype})
    built = build(TypeAdapter(ModelSpec).validate_python(model), SHAPE, CLASSES, kind)
    (together,) = train(spec, built, SEEDS, examples, examples, device=torch.device("cpu"), label="test")
    for n, seed in enumerate(SEEDS):
        (alone,) = train(spec, built, (seed,), examples, examples, device=torch.device("cpu"), label="test")
        for name, value in alone.checkpoints[0].items():
            assert torch.equal(value[0], together.checkpoints[0][name][n])
        end, close = (
            torch.cat([v.flatten() for v in state])
            for state in (
                [v[0] for v in alone.checkpoints[10].values()],
                [v[n] for v in together.checkpoints[10].values()],
            )
        )
        assert (end - close).norm() <= tolerance * close.norm()
    assert not torch.equal(together.losses[:, 0], together.losses[:, 1])


def test_groups_change_nothing_but_the_last_digits() -> None:
    model, _, optimiser, loss = CASES["mlp relu, sgd with momentum"]
    examples = random_examples(3, 3)
    (whole,) = ensemble(model, optimiser, loss, examples)
    parts = ensemble(model, optimiser, loss, examples, group=2)
    assert [part.seeds for part in parts] == [(3, 11), (12,)]
    torch.testing.assert_close(torch.cat([p.losses for p in parts], 1), whole.losses, rtol=1e-11, atol=0)

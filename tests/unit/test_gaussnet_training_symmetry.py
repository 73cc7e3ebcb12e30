"""Probes, evidence and figure of ``gaussnet-training-symmetry``."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from symbreak.claims.decide import decide
from symbreak.claims.gaussnet import training_symmetry as evidence
from symbreak.claims.tables import Tables
from symbreak.config.registry import Part
from symbreak.config.specs import ArmSpec
from symbreak.data.prepared import Prepared, save
from symbreak.errors import SymbreakError
from symbreak.figures import gaussnet_training_symmetry as figure
from symbreak.probes import ntk_symmetry, training_symmetry
from symbreak.probes.noninvariance import squared_norms
from symbreak.probes.npoint_sampling import Ensemble
from symbreak.probes.npoint_symmetry import haar
from symbreak.probes.source import Source

TRAINED: dict[str, Any] = {
    "width": 8, "batch": 10, "steps": {"mse": 40, "cross_entropy": 5}, "records": [0, 1, 5, 40],
    "rates": {"sgd": 0.05, "adam": 0.001},
}  # fmt: skip
KERNELS: dict[str, Any] = {
    "neurons": [("relu", 0.0), ("gauss", 0.25)], "outputs": 5, "width": 20, "inputs": [-0.6, 0.4], "nets": 2000,
    "differentiated": 2, "mean_w1": 0.2,
}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Thirty noisy images of 10 classes, 6 x 6 pixels."""
    generator = np.random.default_rng(0)
    labels = np.tile(np.arange(10, dtype=np.uint8), 3)
    images = generator.integers(0, 256, (30, 1, 6, 6), dtype=np.uint8)
    save(tmp_path / "set.npz", Prepared(images, labels, images[:10], labels[:10]))
    data = {"set": "mnist", "train": 20, "test": 10, "standardise": {"kind": "unit"}}
    spec = ArmSpec.model_validate(
        {"experiment": "e", "arm": "mnist", "seeds": [1, 2], "data": data, "probes": {"training_symmetry": {}}}
    )
    return Source(spec, None, tmp_path / "set.npz")


def test_both_networks_are_trained_as_each_would_be_alone() -> None:
    """Oracle: the second network by itself, its gradients and Adam's update from their definitions."""
    generator = np.random.default_rng(1)
    x, targets = (torch.from_numpy(generator.standard_normal(size)) for size in ((6, 5), (6, 3)))
    rotation = torch.from_numpy(haar(1, 3, 3, generator)[0])
    start = training_symmetry.initial(5, 4, 3, generator)
    pair = training_symmetry.rotated_pair(start, rotation)
    both = torch.stack([targets, targets @ rotation.T])
    optimiser = torch.optim.Adam([*pair.values()], 0.01)
    order = np.stack([generator.permutation(6)[:4] for _ in range(5)])
    for _ in training_symmetry._trained(pair, x, both, order, optimiser, "cross_entropy"):
        pass
    alone = {name: (rotation @ v if name in ("w1", "b1") else v).clone() for name, v in start.items()}
    first = {name: torch.zeros_like(v) for name, v in alone.items()}
    second = {name: torch.zeros_like(v) for name, v in alone.items()}
    for step, rows in enumerate(order, start=1):
        leaves = {name: v.clone().requires_grad_() for name, v in alone.items()}
        hidden = torch.relu(x[rows] @ leaves["w0"].T + leaves["b0"])
        logs = torch.log_softmax(hidden @ leaves["w1"].T + leaves["b1"], dim=1)
        (-(logs * (targets[rows] @ rotation.T)).sum(1).mean()).backward()
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            first[name] = 0.9 * first[name] + 0.1 * leaf.grad
            second[name] = 0.999 * second[name] + 0.001 * leaf.grad**2
            m, v = first[name] / (1 - 0.9**step), second[name] / (1 - 0.999**step)
            alone[name] = alone[name] - 0.01 * m / (v.sqrt() + 1e-8)
    for name, value in alone.items():
        np.testing.assert_allclose(pair[name][1].detach().numpy(), value.numpy(), rtol=1e-10, atol=1e-12)


def test_only_sgd_on_squared_errors_carries_the_rotation(source: Source) -> None:
    table = training_symmetry.probe(source, **TRAINED)
    pd.testing.assert_frame_equal(table, training_symmetry.probe(source, **TRAINED))
    assert table[table["step"] == 0][["outputs", "parameters"]].max(axis=None) < 1e-14
    later = table[table["step"] > 0].groupby(["optimiser", "loss"])
    assert later[["outputs", "parameters"]].max().loc["sgd", "mse"].max() < 1e-12
    for run in (("adam", "mse"), ("sgd", "cross_entropy"), ("adam", "cross_entropy")):
        assert later[["outputs", "parameters"]].min().loc[run].min() > 1e-6
    losses = table[(table["optimiser"] == "sgd") & (table["loss"] == "mse") & (table["seed"] == 1)]
    assert losses["loss_value"].iloc[-1] < 0.8 * losses["loss_value"].iloc[0]
    assert set(table[table["loss"] == "cross_entropy"]["step"]) == {0, 1, 5}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rates": {"rmsprop": 0.1}}, r"'rates' for some of \['adam', 'sgd'\], found \['rmsprop'\]"),
        ({"steps": {}}, "'steps' for some of .* found none"),
        ({"records": [-1, 2]}, r"found \[-1, 2\]"),
        ({"batch": 21}, "at most the 20 training images, found 21"),
    ],
)
def test_bad_options_are_refused(source: Source, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SymbreakError, match=message):
        training_symmetry.probe(source, **TRAINED | changed)


@pytest.mark.parametrize("neuron", ["relu", "gauss"])
def test_sampled_first_layer_part_is_the_differentiated_ones_mean(neuron: Any) -> None:
    """E[Theta_ik] off the diagonal knows the first layer alone; with a mean in W1 it is mu^2 N E[s' s'](x y + 1)."""
    x = np.array([[0.4], [0.7]])
    ensemble = Ensemble(neuron, 6, 1.0, 0.0 if neuron == "relu" else 0.25, 2, 3)
    found = ntk_symmetry.first_layer_means(ensemble, x, 40_000, 0.5)
    moment = 0.5 if neuron == "relu" else np.exp(-((x - x.T) ** 2) / 2)
    expected = 0.25 * 6 * moment * (x @ x.T + 1)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0)[:, :, 0, 1] - expected) / error[:, :, 0, 1]).max() < 5
    diagonal = expected + moment * (x @ x.T + 1)
    assert (np.abs(found.mean(axis=0)[:, :, 1, 1] - diagonal) / error[:, :, 1, 1]).max() < 5


def test_kernels_rotate_and_their_mean_is_diagonal_without_a_mean(source: Source) -> None:
    table = ntk_symmetry.probe(source, **KERNELS)
    net = table[table["kind"] == "net"].groupby("action")["deviation"]
    assert net.max()["rotation"] < 1e-13
    assert net.min()["stretched"] > 0.1
    effects = {shifted: evidence.ntk_effects(table, shifted=shifted) for shifted in (False, True)}
    assert effects[False].abs().max(axis=None) < 5e-3
    assert effects[True].min(axis=None) > 0.2
    assert len(table) == 2 * 2 * (2 * 2 + 2)


def test_a_stretched_rotation_is_none() -> None:
    matrix = ntk_symmetry.stretched(np.eye(3))
    np.testing.assert_allclose(matrix, np.diag([0.5, 1.0, 1.5]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"nets": 15}, "multiple of 10, found 15"), ({"neurons": [("erf", 1.0)]}, r"found \['erf'\]")],
)
def test_kernels_that_cannot_be_are_refused(source: Source, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SymbreakError, match=message):
        ntk_symmetry.probe(source, **KERNELS | changed)


def test_off_diagonals_count_as_not_invariant() -> None:
    batches = np.broadcast_to(np.eye(4) + 0.1 * (1 - np.eye(4)), (5, 1, 4, 4))
    noninvariant2, invariant2 = squared_norms(batches, 2)
    assert noninvariant2 == pytest.approx(0.12)
    assert invariant2 == pytest.approx(4)


def planted(carried: float, others: float, kernel: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    runs = {(o, l): others for o in ("sgd", "adam") for l in ("mse", "cross_entropy")} | {("sgd", "mse"): carried}  # noqa: E741
    trained = pd.DataFrame(
        {
            "seed": seed, "optimiser": optimiser, "loss": loss, "step": step,
            "outputs": value * step, "parameters": 0.5 * value * step,
        }
        for seed in range(1, 7) for (optimiser, loss), value in runs.items() for step in (0, 1, 2)
    )  # fmt: skip
    single = [
        {"seed": seed, "neuron": neuron, "kind": "net", "net": net, "action": action, "deviation": value}
        for seed in range(1, 7) for neuron in ("relu", "gauss") for net in (0, 1)
        for action, value in (("rotation", carried), ("stretched", 0.3))
    ]  # fmt: skip
    means = [
        {"seed": seed, "neuron": neuron, "kind": "mean", "mean": mean, "invariant2": 2.0, "noninvariant2": 2 * value}
        for seed in range(1, 7) for neuron in ("relu", "gauss")
        for mean, value in ((0.0, kernel + 1e-6 * (seed - 3)), (0.05, 0.1 + 1e-3 * seed))
    ]  # fmt: skip
    return trained, pd.DataFrame(single + means)


def written(root: Path, trained: pd.DataFrame, kernels: pd.DataFrame) -> Tables:
    (root / "e" / "mnist").mkdir(parents=True)
    trained.to_parquet(root / "e" / "mnist" / "training_symmetry.parquet")
    kernels.to_parquet(root / "e" / "mnist" / "ntk_symmetry.parquet")
    return Tables(root, "e", ["mnist"])


def part(name: str, control: str, rule: dict[str, float]) -> Part:
    numeric = "at_most" in rule
    statistics = {"regime": "statistical", "interval": "t", "power": {"effect": 0, "spread": 1e-5}}
    return Part.model_validate(
        {"target": "S8", "evidence": name, "quantity": "q", "unit": "u", "rule": rule, "basis": "b"}
        | ({"regime": "numeric"} if numeric else statistics)
        | {"control": {"evidence": control, "quantity": "c", "kind": "must_fail"}}
    )


PARTS = [
    part("carried", "not_carried", {"at_most": 1e-9}),
    part("ntk_of_net", "ntk_of_net_stretched", {"at_most": 1e-10}),
    part("ntk_mean", "ntk_mean_shifted", {"equals": 0, "within": 1e-4}),
]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1e-15, 0.1, 0.0), ["supported", "supported", "supported"]),
        ((1e-3, 0.1, 0.01), ["refuted", "refuted", "refuted"]),
        ((1e-15, 1e-15, 0.0), ["inconclusive (control)", "supported", "supported"]),
    ],
)
def test_verdicts_follow(tmp_path: Path, values: tuple[float, float, float], expected: list[str]) -> None:
    tables = written(tmp_path, *planted(*values))
    found = [
        decide(p, getattr(evidence, p.evidence)(tables), getattr(evidence, p.control.evidence)(tables), 0.9974)
        for p in PARTS
    ]
    assert [decision.verdict for decision in found] == expected


def test_units_are_the_worst_of_outputs_and_parameters_and_the_least_of_controls(tmp_path: Path) -> None:
    tables = written(tmp_path, *planted(1e-15, 0.1, 0.0))
    assert [u.value for u in evidence.carried(tables)] == pytest.approx([2e-15] * 6)
    controls = evidence.not_carried(tables)
    assert [u.value for u in controls] == pytest.approx([0.1] * 18)
    assert "seed 1, adam, mse" in [u.unit for u in controls]


def test_figure_names_every_run(tmp_path: Path) -> None:
    rules = {"training": {"at_most": 1e-9}, "ntk_of_net": {"at_most": 1e-10}, "ntk_mean": {"equals": 0, "within": 1e-4}}
    claim = {"statement": "S.", "verdict": "supported", "margin": 1e-9, "n": 6, "control": "shown"}
    parts = {name: {"rule": rule} for name, rule in rules.items()}
    tables = written(tmp_path, *planted(1e-15, 0.1, 0.0))
    drawn = figure.draw(tables, claim | {"underpowered": False, "parts": parts})
    texts = [text.get_text() for ax in drawn.axes for text in ax.get_legend().get_texts()]
    for word in ("SGD, squared error", "control: Adam, squared error", "control: A stretched", "W1 with a mean"):
        assert any(word in text for text in texts), word

"""Losses of single examples against their formulas, and what they predict (gradients: test_analytic)."""

import pytest
import torch

from symbreak.training.losses import LOSSES, predictions

F64 = torch.float64


def drawn(labels_each: bool) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    outputs = 3 * torch.randn(4, 7, 5, generator=draw, dtype=F64)
    return outputs, torch.randint(5, (4 if labels_each else 1, 7), generator=draw)


def one(loss: str, output: list[float], label: int) -> float:
    targets = [float(c == label) for c in range(len(output))]
    if loss == "cross_entropy":
        return -float(torch.log(torch.tensor(output).double().exp()[label] / torch.tensor(output).double().exp().sum()))
    if loss == "mse_one_cold":
        targets = [1 - t for t in targets]
    return sum((f - t) ** 2 for f, t in zip(output, targets, strict=True)) / len(output)


@pytest.mark.parametrize("labels_each", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_its_formula_example_by_example(loss: str, labels_each: bool) -> None:
    outputs, labels = drawn(labels_each)
    found = LOSSES[loss](outputs, labels)
    for r in range(4):
        for b in range(7):
            expected = one(loss, outputs[r, b].tolist(), int(labels[r if labels_each else 0, b]))
            assert float(found[r, b]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_class_that_fits_best_is_predicted(loss: str) -> None:
    outputs, _ = drawn(False)
    each = torch.stack([LOSSES[loss](outputs, torch.full((1, 7), label)) for label in range(5)])
    assert torch.equal(predictions(loss, outputs), each.argmin(0))

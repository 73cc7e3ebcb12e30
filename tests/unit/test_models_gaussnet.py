import numpy as np
import pytest
import torch

from symbreak.config.specs import GaussnetSpec
from symbreak.errors import SymbreakError
from symbreak.models.gaussnet import Gaussnet, build


def outputs(model: Gaussnet, replicas: int, x: torch.Tensor) -> torch.Tensor:
    """Outputs ``[R, B, D]`` of freshly initialised networks."""
    states = [model.init(seed) for seed in range(replicas)]
    return model.forward({name: torch.stack([s[name] for s in states]) for name in states[0]}, x, train=False)


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.0, 1.0), (1.2, 0.5)])
@pytest.mark.parametrize("width", [40, 160])
def test_the_kernel_of_an_ensemble_is_the_gaussian(width: int, sigma_w: float, sigma_b: float) -> None:
    """E f_i(x) f_j(y) = delta_ij (sigma_b^2 + sigma_w^2 exp(-sigma_w^2 |x-y|^2 / 2d)), at every width; here d = 6."""
    spec = GaussnetSpec(family="gaussnet", width=width, sigma_w=sigma_w, sigma_b=sigma_b)
    draw = np.random.default_rng(0)
    x = torch.from_numpy(draw.normal(0, 0.6, (1, 3, 1, 2, 3)))
    f = outputs(build(spec, (1, 2, 3), 4, torch.float64), 2500, x).numpy()
    points = x.flatten(2)[0].numpy()
    squares = ((points[:, None] - points[None]) ** 2).sum(2)
    kernel = sigma_b**2 + sigma_w**2 * np.exp(-(sigma_w**2) * squares / 12)
    products = np.einsum("rai,rbi->rab", f, f) / 4
    error = products.std(0) / np.sqrt(len(products))
    assert np.all(np.abs(products.mean(0) - kernel) < 5 * error)
    assert np.all(error < 0.06 * kernel)
    mixed = f[:, :, 0] * f[:, :, 1]
    assert np.all(np.abs(mixed.mean(0)) < 5 * mixed.std(0) / np.sqrt(len(mixed)))


def test_the_normaliser_is_that_of_the_whole_input_dimension() -> None:
    model = build(GaussnetSpec(family="gaussnet", width=1, sigma_w=2.0, sigma_b=0.5), (1, 2, 2), 1, torch.float64)
    state = {
        "layers.0.weight": torch.tensor([[[0.1, -0.2, 0.3, 0.4]]], dtype=torch.float64),
        "layers.0.bias": torch.tensor([[0.05]], dtype=torch.float64),
        "layers.1.weight": torch.tensor([[[3.0]]], dtype=torch.float64),
        "layers.1.bias": torch.tensor([[-1.0]], dtype=torch.float64),
    }
    x = torch.tensor([1.0, 2.0, -1.0, 0.5], dtype=torch.float64)
    z = 0.1 - 0.4 - 0.3 + 0.2 + 0.05
    by_hand = -1 + 3 * np.exp(z) / np.sqrt(np.exp(2 * (0.25 + 4 * 6.25 / 4)))
    assert model.forward(state, x.view(1, 1, 1, 2, 2), train=False).item() == pytest.approx(by_hand, rel=1e-14)


@pytest.mark.parametrize(("shifted", "moved"), [(None, 3), (2, 2), (0, 0)])
def test_the_mean_shifts_the_first_outputs_weights(shifted: int | None, moved: int) -> None:
    def weights(mean: float) -> torch.Tensor:
        spec = GaussnetSpec(family="gaussnet", width=5, mean_w1=mean, shifted=shifted)
        return build(spec, (1, 2, 2), 3, torch.float64).init(1)["layers.1.weight"]

    difference = weights(0.7) - weights(0.0)
    torch.testing.assert_close(difference[:moved], torch.full((moved, 5), 0.7, dtype=torch.float64))
    assert not difference[moved:].any()


def test_more_shifted_outputs_than_there_are_is_an_error() -> None:
    with pytest.raises(SymbreakError, match="only 3 outputs"):
        build(GaussnetSpec(family="gaussnet", width=5, shifted=4), (1, 2, 2), 3, torch.float64)

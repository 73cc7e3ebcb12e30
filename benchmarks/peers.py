"""The peers of the ensemble benchmark: the same networks in a plain PyTorch loop and by ``torch.func``'s vmap."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

Nets = list[nn.Sequential]
Orders = Sequence[Sequence[Tensor]]  # of each net (or of one for all): the rows of every batch


def networks(initial: dict[str, Tensor]) -> Nets:
    """Return one ``nn.Sequential`` of two linear layers a replica, with the ensemble's initial values ``[R, ...]``."""
    return [
        _network({name: value[r] for name, value in initial.items()}) for r in range(len(initial["layers.0.weight"]))
    ]


def _network(values: dict[str, Tensor]) -> nn.Sequential:
    shapes = [values[f"layers.{layer}.weight"].shape for layer in (0, 1)]
    dtype = values["layers.0.weight"].dtype
    first, second = (nn.Linear(fan_in, out, dtype=dtype) for out, fan_in in shapes)
    net = nn.Sequential(first, nn.ReLU(), second)
    net.load_state_dict({name.replace("layers.0", "0").replace("layers.1", "2"): v for name, v in values.items()})
    return net


def weights(nets: Nets) -> dict[str, Tensor]:
    """Return the networks' parameters under the ensemble's names, ``[R, ...]``."""
    stacked, _ = stack_module_state(list(nets))
    names = {"0": "layers.0", "2": "layers.1"}
    return {f"{names[n.split('.')[0]]}.{n.split('.')[1]}": value.detach() for n, value in stacked.items()}


def loop(nets: Nets, orders: Orders, x: Tensor, y: Tensor, rate: float) -> None:
    """Train one network after the other as anyone would, on images ``[N, 784]`` that lie in memory."""
    for net, order in zip(nets, orders, strict=True):
        optimiser = torch.optim.SGD(net.parameters(), lr=rate)
        for rows in order:
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimiser.step()


class Vmap:
    """All networks at once by ``stack_module_state``, ``functional_call`` and ``vmap(grad)``."""

    def __init__(self, nets: Nets, *, shared: bool) -> None:
        self.parameters, _ = stack_module_state(list(nets))
        self._net = nets[0]
        gradient: Callable[..., dict[str, Tensor]] = grad(self._loss)
        self._gradients = vmap(gradient, in_dims=(0, None, None) if shared else (0, 0, 0))

    def _loss(self, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(self._net, parameters, (x,)), y)

    @torch.no_grad()
    def train(self, orders: Orders, x: Tensor, y: Tensor, rate: float) -> None:
        """Train all networks; ``orders`` has one entry if the order is shared."""
        for rows in zip(*orders, strict=True):
            chosen = rows[0] if len(rows) == 1 else torch.stack(rows)
            for name, gradient in self._gradients(self.parameters, x[chosen], y[chosen]).items():
                self.parameters[name].sub_(gradient, alpha=rate)

    def weights(self) -> dict[str, Tensor]:
        """Return the parameters under the ensemble's names, ``[R, ...]``."""
        names = {"0": "layers.0", "2": "layers.1"}
        return {f"{names[n.split('.')[0]]}.{n.split('.')[1]}": v.detach() for n, v in self.parameters.items()}

"""What the Hessian benchmarks measure: a trained MLP on MNIST, as a probe sees it and as an ``nn.Module``."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.data import load
from benchmarks.peers import networks
from symbreak.config.models import MlpSpec
from symbreak.models.mlp import build
from symbreak.probes.network import Data, Network, of_model
from symbreak.seeding import derive

IMAGES, STEPS, BATCH, RATE = 2_000, 300, 128, 0.1


@dataclass(frozen=True)
class Trained:
    """R trained networks, their data and where these came from."""

    network: Network
    data: Data
    source: str

    def module(self) -> nn.Sequential:
        """Return the first network as PyTorch has it, on flat inputs."""
        return networks({name: value[:1] for name, value in self.network.parameters.items()})[0]

    def flat(self) -> tuple[Tensor, Tensor]:
        """Return flattened images and labels."""
        return self.data.x.flatten(1), self.data.y


def trained(side: int, width: int, replicas: int) -> Trained:
    """Train 784-width-10 (``side`` 28) or 196-width-10 (14: means of 2 x 2 pixels) for 300 steps of SGD.

    Args:
        side: 28 or 14.
        width: Hidden units.
        replicas: R, which differ in their initial values.
    """
    found, source = load("mnist")
    images = torch.from_numpy(found.train_images[:IMAGES]).float()
    x = nn.functional.avg_pool2d((images - images.mean()) / images.std(), 28 // side)
    y = torch.from_numpy(found.train_labels[:IMAGES]).long()
    model = build(MlpSpec(family="mlp", hidden=(width,)), (1, side, side), 10, torch.float32)
    states = [model.init(seed) for seed in range(replicas)]
    state = {name: torch.stack([one[name] for one in states]).requires_grad_() for name in states[0]}
    optimiser = torch.optim.SGD(list(state.values()), RATE)
    generator = torch.Generator().manual_seed(derive(0, "order"))
    for _ in range(STEPS):
        rows = torch.randint(0, IMAGES, (BATCH,), generator=generator)
        outputs = model.forward(state, x[rows].unsqueeze(0), train=True)
        loss = nn.functional.cross_entropy(outputs.flatten(0, 1), y[rows].repeat(replicas)) * replicas
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return Trained(of_model(model, {name: value.detach() for name, value in state.items()}), Data(x, y), source)

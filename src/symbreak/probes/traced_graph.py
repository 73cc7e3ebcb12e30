"""A network's computation as a graph of ATen operations, whatever Python it is written in, and the training loss of it.

The graph is traced in float64 on one batch (``torch.fx.experimental.proxy_tensor.make_fx``) and holds for that
batch's shape. The network is traced in eval mode; its loss is evaluated as in training, with BatchNorm's statistics of
the batch, because that is the loss that training goes down and that has the symmetry. Dropout is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functionalize
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import group_norm, layer_norm

from symbreak.errors import SymbreakError
from symbreak.probes.network import Data, Network
from symbreak.training.losses import LOSSES

State = dict[str, Tensor]
BATCH_NORMS = frozenset({"native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training"})


@dataclass(frozen=True)
class Traced:
    """The graph and which of its inputs is which parameter (``named``: node -> name)."""

    module: GraphModule
    named: Mapping[Node, str]


def trace(network: Network, x: Tensor) -> Traced:
    """Trace a network on inputs of the shape of ``x`` ``[N, ...]``.

    Raises:
        SymbreakError: The network branches on the numbers that it computes, or does not run in float64.
    """
    state = doubled(network, 0)
    try:
        module = make_fx(functionalize(network.call))(state, x.double())
    except Exception as error:  # whatever the user's own code raises under the tracer
        raise SymbreakError(
            f"the network cannot be traced in float64: {type(error).__name__}: {str(error).splitlines()[0][:200]}; "
            f"its forward must not branch on the numbers that it computes nor fix a type"
        ) from error
    module.graph.eliminate_dead_code()
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    named = {node: name for node, name in zip(inputs, state, strict=False) if name in network.parameters}
    return Traced(module, named)


def doubled(network: Network, r: int) -> State:
    """Return parameters and buffers of set ``r``, floating ones in float64."""
    state = network.one(r) | network.held(r)
    return {name: value.double() if value.is_floating_point() else value for name, value in state.items()}


def operation(node: Node) -> str:
    """Return the name of a node's operation (``addmm``), ``getitem`` or ``output``."""
    if node.op != "call_function":
        return node.op
    return _name(node.target)


def _name(target: Any) -> str:
    return str(getattr(target, "overloadpacket", target).__name__)


def training_loss(traced: Traced, state: State, batch: Data, loss: str, *, eps: bool = True) -> Tensor:
    """Return the mean loss (nats for cross-entropy) on a batch, as in training but without dropout.

    Args:
        traced: The network.
        state: Parameters and buffers of one set, float64; differentiable.
        batch: Inputs of the shape that was traced, and labels.
        loss: A name in ``symbreak.training.losses.LOSSES``.
        eps: False: normalise without the small number that keeps variances from zero and breaks scale symmetry.
    """
    outputs = _AsInTraining(traced.module, eps).run(state, batch.x.double())
    return LOSSES[loss](outputs[None], batch.y[None]).mean()


def gradient(traced: Traced, state: State, names: Sequence[str], batch: Data, loss: str) -> State:
    """Return the gradient of ``training_loss`` for the parameters ``names``; zero where the loss does not use one."""
    own = {name: state[name].detach().requires_grad_() for name in names}
    with torch.enable_grad():
        value = training_loss(traced, state | own, batch, loss)
    found = torch.autograd.grad(value, list(own.values()), allow_unused=True)
    return {n: torch.zeros_like(own[n]) if g is None else g for n, g in zip(own, found, strict=True)}


class _AsInTraining(Interpreter):
    """Runs a graph with the batch's own statistics."""

    def __init__(self, module: GraphModule, eps: bool) -> None:
        super().__init__(module)
        self._eps = eps

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Replace the norms, whose last argument is epsilon; do the rest as it is written."""
        name = _name(target)
        eps = args[-1] if self._eps and args else 0.0
        if name in BATCH_NORMS:
            return torch.batch_norm(args[0], args[1], args[2], None, None, True, 0.0, eps, False), None, None
        if name == "native_layer_norm":
            return layer_norm(args[0], args[1], args[2], args[3], eps), None, None
        if name == "native_group_norm":
            return group_norm(args[0], args[6], args[1], args[2], eps), None, None
        return super().call_function(target, args, kwargs)

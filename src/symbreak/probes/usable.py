"""What a network and its inputs must be for gradients of single samples to mean anything."""

import torch
from torch import Tensor

from symbreak.errors import SymbreakError
from symbreak.probes.network import Data, Network
from symbreak.training.losses import LOSSES

COMPANY = 8  # inputs among which the first one's output is compared with its output beside the second one alone


def check_inputs(network: Network, x: Tensor) -> int:
    """Refuse what the probes of gradients cannot handle, and return the number of outputs C.

    Args:
        network: Its first set of parameters is called on a few inputs.
        x: ``[N, ...]``, N at least 3.

    Raises:
        SymbreakError: If inputs are too few, of another type than the parameters or not finite, if parameters are not
            finite, if outputs are not ``[N, C]``, or if one input's output depends on the others.
    """
    if len(x) < 3:
        raise SymbreakError(f"at least 3 inputs are needed, there are {len(x)}; give more data")
    _same_type(network, x)
    for name, value in {"the inputs": x, **network.parameters, **network.buffers}.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise SymbreakError(f"{name} hold NaN or infinity; probe finite data and weights")
    return _separate(network, x[:COMPANY])


def check_labelled(network: Network, data: Data, loss: str) -> None:
    """Refuse data and losses that the network cannot be probed with.

    Raises:
        SymbreakError: As ``check_inputs``; if the loss is unknown or labels do not fit the outputs.
    """
    if loss not in LOSSES:
        raise SymbreakError(f"the loss is one of {', '.join(LOSSES)}, not '{loss}'; name one of them")
    if len(data.x) != len(data.y):
        raise SymbreakError(f"there are {len(data.x)} inputs but {len(data.y)} labels; give one label an input")
    classes = check_inputs(network, data.x)
    if data.y.dtype != torch.int64 or int(data.y.min()) < 0 or int(data.y.max()) >= classes:
        raise SymbreakError(
            f"labels are int64 from 0 to {classes - 1}, as the network has {classes} outputs; found {data.y.dtype} "
            f"from {data.y.min().item()} to {data.y.max().item()}; mend the labels"
        )


def _same_type(network: Network, x: Tensor) -> None:
    kinds = {value.dtype for value in network.parameters.values()}
    if kinds != {x.dtype}:
        raise SymbreakError(
            f"inputs are {x.dtype} and parameters {sorted(map(str, kinds))}; convert both to one floating-point type"
        )


def _separate(network: Network, x: Tensor) -> int:
    """Refuse outputs that are no matrix or depend on the company of their input; return their number."""
    with torch.no_grad():
        few, many = (network.call(network.one(0) | network.held(0), x[:n]) for n in (2, len(x)))
    if many.ndim != 2 or len(many) != len(x):
        raise SymbreakError(f"outputs must be [N, C]; for N = {len(x)} they are {list(many.shape)}; flatten them")
    if not bool(torch.isfinite(many).all()):
        raise SymbreakError("the network's outputs are NaN or infinite; probe weights before they diverged")
    rounding = torch.finfo(many.dtype).eps ** 0.5 * float(many.abs().max())
    if float((few[0] - many[0]).abs().max()) > rounding:
        raise SymbreakError(
            "the network's output for one input depends on the others of its batch (BatchNorm that uses batch "
            "statistics?), so that the gradient of a single sample is not defined; use running statistics in eval mode"
        )
    return many.shape[1]

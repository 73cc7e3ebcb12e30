"""Products of a Hessian with vectors for fully connected networks, written out; unit: loss per squared parameter.

With z_l = W_l h_l + b_l, h_{l+1} = phi(z_l) and d_l = dL/dz_l, the R-operator (Pearlmutter 1994, Neural Computation 6,
147, section 4) turns a direction (U_l, c_l) into

    R z_l = W_l R h_l + U_l h_l + c_l,   R h_{l+1} = phi'(z_l) R z_l,   R h_0 = 0,
    R d_{l-1} = phi'(z_{l-1}) (W_l' R d_l + U_l' d_l) + phi''(z_{l-1}) (W_l' d_l) R z_{l-1},
    (H v)_{W_l} = R d_l h_l' + d_l R h_l',   (H v)_{b_l} = sum of R d_l over the samples,

and R d of the last layer is the loss's own Hessian times R z. Whatever has no R in it is the same for all vectors and
computed once; the first layer takes one matrix product forward and one back, for all vectors and replicas together.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import copy

import torch
from torch import Tensor

from symbreak.models.activations import ACTIVATIONS, EXPONENTIAL, Activation
from symbreak.models.dense import linear
from symbreak.models.stack import Stack
from symbreak.probes.hessian_inputs import Folded
from symbreak.probes.hessian_tape import Tape, fast_bfloat16, narrowed, sloped
from symbreak.probes.network import Data, State
from symbreak.training.losses import GRADIENTS

SAMPLES = 2048  # a pass: half as many stay nearer to a core's cache, but their many small operations take longer
LARGE = 2**18  # numbers in x, from which on its products with vectors are most of the work
KEPT = 2**30  # bytes of activations that are kept between products, without their copy; more are computed anew

Second = Callable[[Tensor, Tensor, Tensor], Tensor]  # (z, phi(z), phi'(z)) -> phi''(z)
SECONDS: dict[Activation, Second | None] = {  # None: zero everywhere (but at a kink, where autograd says so too)
    ACTIVATIONS["relu"]: None,
    ACTIVATIONS["linear"]: None,
    ACTIVATIONS["tanh"]: lambda z, h, slope: -2 * h * slope,
    ACTIVATIONS["sigmoid"]: lambda z, h, slope: (1 - 2 * h) * slope,
    ACTIVATIONS["erf"]: lambda z, h, slope: -2 * z * slope,
    EXPONENTIAL: lambda z, h, slope: slope,
}


class StackProducts:
    """H v of the mean loss for blocks of vectors, without the zero modes that ``Folded`` leaves out.

    Attributes:
        count: R.
        size: The length n of a vector: first the first layer ``[out, m]``, then weight and bias of each other layer.
        zeros: The number P - n of modes left out, whose eigenvalue is exactly 0.

    Args:
        stack: The layers; ``supports`` must be true of it.
        parameters: ``[R, ...]``.
        inputs: ``fold`` of the flattened inputs.
        data: The same inputs as they are, and labels.
        loss: A name in ``symbreak.training.losses``.
    """

    def __init__(self, stack: Stack, parameters: State, inputs: Folded, data: Data, loss: str) -> None:
        self._stack, self._state, self._inputs, self._data, self._loss = stack, parameters, inputs, data, loss
        first = parameters[stack.names[0][0]]
        self.count, self.like = len(first), first
        later = [parameters[name] for pair in stack.names[1:] for name in pair if name in parameters]
        self._shapes = [(first.shape[1], inputs.x.shape[1]), *(tuple(value.shape[1:]) for value in later)]
        self._sizes = [torch.Size(shape).numel() for shape in self._shapes]
        self.size = sum(self._sizes)
        self.zeros = sum(value[0].numel() for value in parameters.values()) - self.size
        self._type = first.dtype
        self._kept = list(self._record()) if self._bytes() <= KEPT else None

    def __call__(self, v: Tensor) -> Tensor:
        """Return H v, ``[R, k, n]``, for vectors ``[R, k, n]``."""
        parts = self._split(v)
        u, later = [part.to(self._type) for part in parts], [torch.zeros_like(part) for part in parts[1:]]
        first = _total((self._add(tape, u, later) for tape in self._tapes()), v.dtype)
        return torch.cat([first.view(*v.shape[:2], -1), *(part.flatten(2) for part in later)], 2)

    def coarse(self) -> "StackProducts | None":
        """Return the same products in bfloat16 if that is faster; see ``Products``."""
        if self._kept is None or self._inputs.x.numel() < LARGE or not fast_bfloat16(self.like):
            return None
        made = copy(self)
        made._type = torch.bfloat16
        made._state = {name: value.to(made._type) for name, value in self._state.items()}
        parts = self._inputs.narrow.split(SAMPLES)
        made._kept = [narrowed(tape, x) for tape, x in zip(self._kept, parts, strict=True)]
        return made

    def gradients(self) -> Tensor:
        """Return each class's part of the gradient of the mean loss, ``[R, C, n]``."""
        labels = self._data.y.unique().unsqueeze(1)
        later = [self.like.new_zeros(self.count, len(labels), *shape) for shape in self._shapes[1:]]
        owned = (self._data.y == labels).to(self._type).unsqueeze(1).split(SAMPLES, 2)
        pairs = zip(self._tapes(), owned, strict=True)
        first = _total((self._add_gradients(tape, own, later) for tape, own in pairs), self.like.dtype)
        return torch.cat([first.view(self.count, len(labels), -1), *(part.flatten(2) for part in later)], 2)

    def named(self, v: Tensor) -> State:
        """Return vectors ``[R, k, n]`` as directions of the parameters, name -> ``[R, k, ...]``."""
        first, *rest = self._split(v)
        weight, bias = self._stack.names[0]
        found = {weight: self._inputs.weight(first)}
        if bias in self._state:
            found[bias] = self._inputs.bias(first)
        later = [name for pair in self._stack.names[1:] for name in pair if name in self._state]
        return found | dict(zip(later, rest, strict=True))

    def _tapes(self) -> Iterable[Tape]:
        return self._kept if self._kept is not None else self._record()

    def _bytes(self) -> int:
        units = sum(self._state[weight].shape[1] for weight, _ in self._stack.names)
        return 4 * self.count * units * len(self._data.y) * self.like.element_size()

    def _split(self, v: Tensor) -> list[Tensor]:
        parts = v.split(self._sizes, 2)
        return [part.reshape(*v.shape[:2], *shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def _layers(self, later: list[Tensor]) -> list[tuple[Tensor, Tensor | None]]:
        """Weight and bias, if there is one, of the layers after the first."""
        rest, found = iter(later), []
        for _, bias in self._stack.names[1:]:
            found.append((next(rest), next(rest) if bias in self._state else None))
        return found

    def _record(self) -> Iterator[Tape]:
        x = self._data.x.flatten(1)
        for rows in torch.arange(len(x), device=x.device).split(SAMPLES):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            yield self._tape(x[part], self._inputs.x[part], self._data.y[part])

    def _tape(self, x: Tensor, folded: Tensor, y: Tensor) -> Tape:
        pre, hidden = self._forward(x.t().unsqueeze(0))
        shares = torch.softmax(pre[-1], 1)
        _, delta = GRADIENTS[self._loss](pre[-1], y.unsqueeze(0))
        delta = delta * (len(y) / len(self._data.y))  # the gradient of the mean over all samples, not over these
        slopes: list[Tensor] = []
        bends: list[Tensor | None] = []
        deltas = [delta]
        for layer in reversed(range(1, self._stack.depth)):
            z, h = pre[layer - 1], hidden[layer - 1]
            back = torch.bmm(self._state[self._stack.names[layer][0]].transpose(1, 2), delta)
            slope = self._stack.activation.backward_(torch.ones_like(z), z, h)
            second = SECONDS[self._stack.activation]
            bends.insert(0, None if second is None else second(z, h, slope) * back)
            delta = slope * back
            slopes.insert(0, slope)
            deltas.insert(0, delta)
        return Tape(folded, hidden, slopes, bends, deltas, shares)

    def _forward(self, h: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Each layer's output and each hidden layer's activation, for inputs ``[1, in, B]``."""
        pre: list[Tensor] = []
        hidden: list[Tensor] = []
        for layer, (weight, bias) in enumerate(self._stack.names):
            z = linear(self._state[weight], self._state.get(bias), h)
            if layer == 0 and self._stack.shift is not None:
                z = z - self._stack.shift(h)
            pre.append(z)
            h = self._stack.activation.value(z)
            hidden.append(h)
        return pre, hidden[:-1]

    def _add_gradients(self, tape: Tape, own: Tensor, later: list[Tensor]) -> Tensor:
        """Add the gradients over a pass, with the samples that each class owns ``[C, 1, B]``, to those of later layers.

        Returns:
            Those of the first layer, ``[R C out, m]``.
        """
        deltas = [delta.unsqueeze(1) * own for delta in tape.deltas]
        for (weight, bias), delta, h in zip(self._layers(later), deltas[1:], tape.hidden, strict=True):
            weight += torch.bmm(delta.flatten(1, 2), h.transpose(1, 2)).view(weight.shape)
            if bias is not None:
                bias += delta.sum(3)
        return torch.mm(deltas[0].flatten(0, 2), tape.x)

    def _add(self, tape: Tape, u: list[Tensor], later: list[Tensor]) -> Tensor:
        """Add the products over one pass to those of later layers, and return the first layer's, ``[R k out, m]``."""
        layers, sums = self._layers(u[1:]), self._layers(later)
        ways, t = self._tangents(tape, u[0], layers)
        d = self._curvature(tape, t)
        for layer in reversed(range(len(layers))):
            (direction, _), (weight, bias), (before, rh) = layers[layer], sums[layer], ways[layer]
            h, delta, b = tape.hidden[layer], tape.deltas[layer + 1], t.shape[3]
            weight += torch.bmm(d.flatten(1, 2), h.transpose(1, 2)).view(weight.shape)
            crossed = torch.bmm(rh.flatten(1, 2), delta.transpose(1, 2))  # (d R h')', in one product for all vectors
            weight += crossed.view(*rh.shape[:3], -1).transpose(2, 3)
            if bias is not None:
                bias += d.sum(3)
            w = self._state[self._stack.names[layer + 1][0]]
            turned = direction.transpose(2, 3).flatten(1, 2)
            room = rh.flatten(1, 2)  # R h is done with, and its memory still in the cache
            back = torch.bmm(turned, delta, out=room).view(-1, w.shape[2], b)
            back.baddbmm_(_repeated(w.transpose(1, 2), d), d.flatten(0, 1))
            d = sloped(back.view(rh.shape), tape.slopes[layer].unsqueeze(1))
            bend = tape.bends[layer]
            if bend is not None:
                d.addcmul_(bend.unsqueeze(1), before)
        return torch.mm(d.view(-1, d.shape[3]), tape.x)

    def _tangents(
        self, tape: Tape, first: Tensor, layers: list[tuple[Tensor, Tensor | None]]
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """R z and R h around each activation, ``[R, k, ., B]``, and R z of the outputs."""
        ways: list[tuple[Tensor, Tensor]] = []
        t = torch.mm(first.flatten(0, 2), tape.x.t()).view(*first.shape[:3], -1)
        for layer, (direction, bias) in enumerate(layers):
            slope = tape.slopes[layer].unsqueeze(1)
            rh = sloped(t if tape.bends[layer] is None else t.clone(), slope)  # t itself is asked for by bends only
            ways.append((t, rh))
            own = torch.bmm(direction.flatten(1, 2), tape.hidden[layer])
            w = self._state[self._stack.names[layer + 1][0]]
            moved = own.view(-1, w.shape[1], t.shape[3]).baddbmm_(_repeated(w, rh), rh.flatten(0, 1))
            t = moved.view(*rh.shape[:2], *moved.shape[1:])
            if bias is not None:
                t += bias.unsqueeze(3)
        return ways, t

    def _curvature(self, tape: Tape, t: Tensor) -> Tensor:
        """The Hessian of the mean loss by the outputs, times ``t`` ``[R, k, C, B]``."""
        count = len(self._data.y)
        if self._loss == "mse":
            return t * (2 / (t.shape[2] * count))
        shares = tape.shares.unsqueeze(1)
        mean = (t * shares).sum(2, keepdim=True)
        return (t - mean).mul_(shares / count).to(t.dtype)


def supports(stack: Stack) -> bool:
    """Whether the second derivative of the stack's activation is known here."""
    return stack.activation in SECONDS


def _total(parts: Iterable[Tensor], dtype: torch.dtype) -> Tensor:
    """Return the sum of at least one part, which is used up, in ``dtype``."""
    remaining = iter(parts)
    total = next(remaining).to(dtype)
    for part in remaining:
        total += part
    return total


def _repeated(w: Tensor, like: Tensor) -> Tensor:
    """``[R, out, in]`` once for each of the k vectors of ``like`` ``[R, k, ...]``."""
    return w.unsqueeze(1).expand(-1, like.shape[1], -1, -1).reshape(-1, *w.shape[1:])

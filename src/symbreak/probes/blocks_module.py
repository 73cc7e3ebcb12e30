"""A user's module as a chain of named residual blocks.

That a submodule maps h to h + T(h) is verified numerically: with all its parameters (and running means) set to zero a
branch that ends in a linear map or a norm gives nothing, and what is left must be h, or ReLU(h) if a ReLU follows the
sum. This is tried with numbers of both signs, so that it shows which of the two it is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from symbreak.errors import SymbreakError
from symbreak.probes.blocks_part import Step, column
from symbreak.probes.network import State


class ModuleBlock:
    """A submodule; see ``blocks_part.Block``. Within ``Chain.run`` its parameters are those of the chain."""

    residual = True

    def __init__(self, name: str, module: nn.Module, rectified: bool) -> None:
        self.name, self._rectified = name, rectified
        self._forward: Callable[[Tensor], Tensor] = module.forward  # kept, as a step that replaces it may call it

    def full(self, h: Tensor) -> Tensor:
        """Return the block's output."""
        return self._forward(h)

    def shortcut(self, h: Tensor) -> Tensor:
        """Return the output without the branch."""
        return torch.relu(h) if self._rectified else h.clone()  # h may be the data, and what comes next in place

    def weighted(self, h: Tensor, keep: Tensor, take: Tensor) -> Tensor:
        """Return the output, of whose gradient the terms pass the shares ``keep`` and ``take`` ``[B]``.

        The gradient of f = after(h + T) is after' (1 + dT), so that ``take`` f + (``keep`` - ``take``) after' h has the
        one that is wanted; after' is 1, or for a ReLU whether f is positive.
        """
        f = self._forward(h)
        slope = (f.detach() > 0).to(f.dtype) if self._rectified else torch.ones_like(f)
        return f.detach() + column(take, f) * (f - f.detach()) + column(keep - take, f) * slope * (h - h.detach())

    def terms(self, h: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return h and T(h); None behind a ReLU, which hides T(h) where it is 0."""
        return None if self._rectified else (h, self._forward(h) - h)


class ModuleChain:
    """One set of parameters of a user's module; see ``blocks_part.Chain``.

    Args:
        module: In eval mode.
        state: Its parameters and buffers.
        names: Of the residual blocks, in the order of their use.
        x: A few inputs, on which the blocks are verified.

    Raises:
        SymbreakError: If a name is unknown, a submodule is not used once with one tensor, or is no residual block.
    """

    def __init__(self, module: nn.Module, state: State, names: Sequence[str], x: Tensor) -> None:
        self._module, self._state = module, state
        self._modules = [_submodule(module, name) for name in names]
        self._check_order(names, x)
        rectified = self._verified(names, x)
        self.blocks = [ModuleBlock(*found) for found in zip(names, self._modules, rectified, strict=True)]

    def run(self, x: Tensor, steps: Mapping[int, Step], before: Sequence[Tensor] = ()) -> Tensor:
        """Return the outputs ``[B, C]`` with some blocks replaced and the outputs of the first ones known."""
        known = {place: _constant(h) for place, h in enumerate(before)}
        return self._run(self._state, x, {**steps, **known})

    def _run(self, state: State, x: Tensor, steps: Mapping[int, Callable[..., Tensor]]) -> Tensor:
        with ExitStack() as stack:
            for place, step in steps.items():
                stack.enter_context(_replaced(self._modules[place], step))
            found: Tensor = functional_call(self._module, state, (x,))
        return found

    @torch.no_grad()
    def _check_order(self, names: Sequence[str], x: Tensor) -> None:
        used: list[str] = []

        def step(name: str, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def called(*args: object, **kwargs: object) -> Tensor:
                used.append(name)
                found = forward(*args, **kwargs)
                if len(args) != 1 or kwargs or not all(isinstance(value, Tensor) for value in (*args, found)):
                    raise SymbreakError(f"block '{name}' must map one tensor to one tensor; name another submodule")
                return found

            return called

        steps = {n: step(name, self._modules[n].forward) for n, name in enumerate(names)}
        self._run(self._state, x, steps)
        nested = any(name.startswith(f"{other}.") for name in names for other in names)
        if used != list(names) or nested:
            raise SymbreakError(
                f"expected blocks that are used once each, in the order given: {list(names)}; the network uses {used}; "
                f"name each once, in this order, and none within another"
            )

    @torch.no_grad()
    def _verified(self, names: Sequence[str], x: Tensor) -> list[bool]:
        """Whether a ReLU follows the sum, of every block."""
        found: list[bool] = []

        def step(name: str, forward: Callable[[Tensor], Tensor]) -> Step:
            def called(h: Tensor) -> Tensor:
                found.append(_rectified(name, forward, h))
                return h.clone()

            return called

        steps = {n: step(name, self._modules[n].forward) for n, name in enumerate(names)}
        self._run(self._without(names), x, steps)
        return found

    def _without(self, names: Sequence[str]) -> State:
        """The state with zeros for the parameters and running means of the blocks."""
        trained = {name for name, _ in self._module.named_parameters()}
        return {
            key: torch.zeros_like(value)
            if any(key.startswith(f"{name}.") for name in names) and (key in trained or key.endswith("running_mean"))
            else value
            for key, value in self._state.items()
        }


def _rectified(name: str, forward: Callable[[Tensor], Tensor], h: Tensor) -> bool:
    probe = torch.linspace(-1, 1, h.numel(), dtype=h.dtype, device=h.device).view_as(h)
    given = probe.clone()
    left = forward(given)
    if not torch.equal(given, probe):
        raise SymbreakError(f"block '{name}' changes its input in place; use operations that are not in place")
    for after, rectified in ((probe, False), (torch.relu(probe), True)):
        if left.shape == after.shape and torch.allclose(left, after):
            return rectified
    raise SymbreakError(
        f"block '{name}' is not of the form h + F(h) or ReLU(h + F(h)): with its parameters set to zero it does not "
        f"give back its input of shape {tuple(h.shape[1:])}; name only blocks with an identity shortcut"
    )


def _submodule(module: nn.Module, name: str) -> nn.Module:
    known: dict[str, nn.Module] = dict(module.named_modules())
    if not name or name not in known:
        raise SymbreakError(f"the model has no submodule '{name}'; choose from {', '.join(filter(None, known))}")
    return known[name]


def _constant(value: Tensor) -> Step:
    return lambda _: value.clone()  # what comes after a block may change its output in place


@contextmanager
def _replaced(module: nn.Module, step: Callable[..., Tensor]) -> Iterator[None]:
    """Let the module's forward be ``step``; unlike a hook this spares what it replaces."""
    own = vars(module).get("forward")
    module.forward = step
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own

"""Any probe on a user's own model: one call for all of them.

from symbreak.probes import own, own_inputs

data = own_inputs.load_data("mnist", 2000, torch.float32)
report = own.measure("hessian", module, [module.state_dict()], data, seed=0, options={"k": 5})
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import nn

from symbreak.config.strict import nearest
from symbreak.errors import SymbreakError
from symbreak.probes.catalogue import NEEDS, Kind, Probe, find
from symbreak.probes.network import Data, Network, State, of_module
from symbreak.probes.report import Report
from symbreak.training.losses import LOSSES

COUNTS: Mapping[Kind, tuple[int, float]] = {  # the least and the largest number of sets of weights
    "model": (0, float("inf")),  # none: as it is built
    "pair": (2, 3),
    "ensemble": (2, float("inf")),
    "trajectory": (2, float("inf")),
    "sweep": (0, 0),
}
FINITE = ConfigDict(allow_inf_nan=False)  # what is not finite has no place in a JSON file


def measure(
    name: str,
    module: nn.Module | None = None,
    weights: Sequence[State] = (),
    data: Data | None = None,
    *,
    table: pd.DataFrame | None = None,
    seed: int = 0,
    loss: str = "cross_entropy",
    options: Mapping[str, Any] | None = None,
) -> Report:
    """Measure with any probe.

    Args:
        name: A probe of ``symbreak.probes.catalogue``.
        module: Maps ``[N, ...]`` to ``[N, C]``; put into eval mode.
        weights: State dictionaries, in order of time or replica; none: the module as it is.
        data: Inputs and labels, of the module's type.
        table: The sweep, for probes that need one; then there is no module, weights or data.
        seed: Of whatever the probe draws.
        loss: ``cross_entropy`` or ``mse``.
        options: Options of the probe's ``measure``; texts are converted to their types.

    Raises:
        SymbreakError: If the probe is unknown or not given what it needs, an option is unknown or of another type, the
            module does not take the data, or the probe cannot handle them.
    """
    probe = find(name)
    chosen = resolve(probe, options or {})
    check(probe, module=module is not None, weights=len(weights), data=data is not None, table=table is not None)
    run: Callable[..., Report] = probe.load().measure
    if module is None or data is None:
        return run(table, seed=seed, **chosen)
    if loss not in LOSSES:
        raise SymbreakError(f"there is no loss '{loss}'{nearest(loss, list(LOSSES))}")
    network = of_module(module, weights)
    fits(network, data)
    return run(network, data, seed=seed, loss=loss, **chosen)


def resolve(probe: Probe, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a probe, those that are given in their types and the others' defaults.

    A text stands for a value of the option's type: ``true``, ``5``, ``1e-3``; ``none`` where that is allowed; its parts
    between commas for a list.

    Raises:
        SymbreakError: If an option is unknown, missing or of another type.
    """
    known = probe.options()
    for option in options:
        if option not in known:
            raise SymbreakError(f"probe '{probe.name}' has no option '{option}'{nearest(option, list(known))}")
    if missing := [o for o, p in known.items() if p.default is p.empty and o not in options]:
        raise SymbreakError(f"probe '{probe.name}' needs the options {missing}")
    return {o: _typed(probe, p, options[o]) if o in options else p.default for o, p in known.items()}


def check(probe: Probe, *, module: bool, weights: int, data: bool, table: bool) -> None:
    """Refuse what a probe does not need and ask for what it does.

    Raises:
        SymbreakError: If anything is missing, too much, or of the wrong number.
    """
    sweep = probe.needs == "sweep"
    needs = f"probe '{probe.name}' needs {NEEDS[probe.needs]}"
    if table != sweep:
        raise SymbreakError(f"{needs}: {'give it with --sweep' if sweep else 'leave the table (--sweep) out'}")
    if module == sweep or data == sweep:
        raise SymbreakError(f"{needs}, so that it {'takes no' if sweep else 'must have a'} model and data")
    least, most = COUNTS[probe.needs]
    if not least <= weights <= most:
        raise SymbreakError(f"{needs}, found {weights} of them: repeat --weights, once a file")


def _typed(probe: Probe, option: inspect.Parameter, value: Any) -> Any:
    adapter: TypeAdapter[Any] = TypeAdapter(option.annotation, config=FINITE)
    reason = ""
    for candidate in _meanings(value):
        try:
            return adapter.validate_python(candidate)
        except ValidationError as error:
            reason = reason or str(error.errors()[0]["msg"])
    wanted = inspect.formatannotation(option.annotation)
    raise SymbreakError(f"option '{option.name}' of '{probe.name}' must be {wanted}, found '{value}': {reason}")


def _meanings(value: Any) -> list[Any]:
    """What a value can mean, in the order in which it is tried; more than itself only for a text."""
    if not isinstance(value, str):
        return [value]
    nothing = [None] if value == "none" else []
    return [*nothing, value, [part.strip() for part in value.split(",") if part.strip()]]


def fits(network: Network, data: Data) -> None:
    """Try the model on two examples, so that what does not fit is said in a sentence.

    Raises:
        SymbreakError: If inputs and outputs, labels and classes, or numbers of examples do not go together, or numbers
            are not finite.
    """
    if len(data.x) != len(data.y) or len(data.x) == 0:
        raise SymbreakError(f"there are {len(data.x)} inputs and {len(data.y)} labels; give one label an input")
    if data.x.is_floating_point() and not bool(torch.isfinite(data.x).all()):
        raise SymbreakError("the inputs have NaN or infinite entries: leave them out")
    few = data.x[:2]
    try:
        outputs = network.outputs(few)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise SymbreakError(
            f"the model does not take inputs {few.dtype} {list(few.shape)}: {error}; give data of its type and shape"
        ) from error
    if outputs.ndim != 3 or outputs.shape[1] != len(few):
        raise SymbreakError(
            f"the model must map [N, ...] to [N, C], found {list(few.shape)} -> {list(outputs.shape[1:])}"
        )
    if not bool(torch.isfinite(outputs).all()):
        raise SymbreakError("the model's outputs are NaN or infinite: probe weights before they diverged")
    low, high = int(data.y.min()), int(data.y.max())
    if low < 0 or high >= outputs.shape[2]:
        raise SymbreakError(
            f"labels go from {low} to {high}, but the model has {outputs.shape[2]} outputs: mend one of them"
        )

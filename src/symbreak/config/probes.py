"""What an arm asks of its probes, checked before anything is computed, and the modules that a probe's job imports."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from symbreak.config.specs import ArmSpec
from symbreak.config.strict import nearest
from symbreak.probes.catalogue import NOT_OPTIONS, PROBES
from symbreak.probes.piped_options import FROM_RUN, OPTIONS, divide

FOLDER = Path(__file__).resolve().parents[1] / "probes"


def problems(spec: ArmSpec, probe: str, options: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with one probe of an arm and its options, a line each, with the nearest valid name."""
    if probe in PROBES:
        found = _of_networks(spec, probe, options)
    elif probe in (own := tables()):
        found = _names(probe, options, *_options(probe, "probe"))
    else:
        found = iter([f"{probe}: no such probe{nearest(probe, [*own, *PROBES])}"])
    return found


def probe_modules(spec: ArmSpec, probe: str) -> tuple[str, ...]:
    """Return the modules that a probe's job imports by name; a probe of networks builds the arm's model again."""
    own = f"symbreak.probes.{probe}"
    if probe not in PROBES or spec.model is None:
        return (own,)
    return (own, "symbreak.probes.piped", f"symbreak.models.{spec.model.family}")


@cache
def tables() -> list[str]:
    """Return the names of the probes that make a table of an arm by themselves: modules with a function ``probe``."""
    return [path.stem for path in sorted(FOLDER.glob("*.py")) if _function(path, "probe") is not None]


def _of_networks(spec: ArmSpec, probe: str, options: Mapping[str, Any]) -> Iterator[str]:
    kind = PROBES[probe].needs
    if kind == "sweep":
        yield (
            f"{probe}: it needs a table with a row a training, and an arm is one setting; make the table of the arms' "
            f"probes in the claim's evidence and call symbreak.probes.own.measure('{probe}', table=...)"
        )
        return
    if spec.data is None or spec.model is None:
        yield f"{probe}: it measures networks on images, so that the arm needs 'data' and 'model'"
    required, optional = _options(probe, "measure")
    said = FROM_RUN[kind] & {*required, *optional}
    yield from (f"{probe}.{key}: the arm and its run say it; leave it out" for key in options if key in said)
    given = {key: value for key, value in options.items() if key not in said}
    chosen = [[name for name in names if name not in (*said, *NOT_OPTIONS)] for names in (required, optional)]
    yield from _names(probe, given, chosen[0], [*chosen[1], *OPTIONS[kind].model_fields])
    try:
        piped, _ = divide(kind, given)
    except ValidationError as error:
        for mistake in error.errors():
            place = ".".join([probe, *map(str, mistake["loc"][:1])])
            yield f"{place}: {mistake['msg'].removeprefix('Value error, ')}"
        return
    if getattr(piped, "along", "replicas") == "training" and not {"axis", "times"} & {*required, *optional}:
        yield f"{probe}.along: the probe knows no time; give 'step' a list, and each step is probed by itself"


def _names(probe: str, options: Mapping[str, Any], required: list[str], optional: list[str]) -> Iterator[str]:
    for key in options:
        if key not in required + optional:
            yield f"{probe}.{key}: the probe has no such option{nearest(key, required + optional)}"
    for key in required:
        if key not in options:
            yield f"{probe}: option '{key}' is missing"


@cache
def _options(probe: str, name: str) -> tuple[list[str], list[str]]:
    """The required and the optional keyword-only arguments of a probe's function, read off its source."""
    function = _function(FOLDER / f"{probe}.py", name)
    pairs = [] if function is None else zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    named = [(argument.arg, default) for argument, default in pairs]
    return [a for a, default in named if default is None], [a for a, default in named if default is not None]


def _function(path: Path, name: str) -> ast.FunctionDef | None:
    found = (n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef) and n.name == name)
    return next(found, None)

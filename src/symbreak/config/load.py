"""Read params.yaml with its overlays and claims.yaml; every mistake names file, key and nearest valid name."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from symbreak.config.probes import problems
from symbreak.config.registry import Registry
from symbreak.config.specs import ArmSpec, Name, Scale
from symbreak.config.strict import Strict, nearest
from symbreak.errors import SymbreakError

T = TypeVar("T", bound=Strict)
PACKAGE = Path(__file__).resolve().parents[1]


class DataConfig(Strict):
    """Where data may come from: ``mirror`` is a folder laid out as docs/data.md says, or null."""

    mirror: str | None = None


class Experiment(Strict):
    """A named set of runs as it is written in params.yaml; ``arms`` override ``base`` key by key, and may have
    ``seeds`` of their own."""

    about: str
    seeds: tuple[int, ...]
    threads: int
    base: dict[str, Any]
    arms: dict[Name, dict[str, Any]] = Field(min_length=1)


class Params(Strict):
    """The whole of params.yaml after its overlay."""

    scale: Scale = "desk"
    data: DataConfig = DataConfig()
    experiments: dict[Name, Experiment]


@dataclass(frozen=True)
class Configuration:
    """Everything that was asked for: ``arms[experiment][arm]`` and the registry of claims."""

    params: Params
    arms: dict[str, dict[str, ArmSpec]]
    registry: Registry


def merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; everything that is not a mapping is replaced."""
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        SymbreakError: The file is missing, is not YAML, or is not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise SymbreakError(f"{path}: not found; run from the project's root folder.") from None
    except yaml.YAMLError as error:
        raise SymbreakError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise SymbreakError(f"{path}: expected a mapping of keys to values, found {type(content).__name__}.")
    return content


def read_params(root: Path, scale: str | None = None) -> dict[str, Any]:
    """Read params.yaml and, for a scale other than desk, merge params.SCALE.yaml over it."""
    params = read_yaml(root / "params.yaml")
    scale = scale or params.get("scale", "desk")
    overlay = {} if scale == "desk" else read_yaml(root / f"params.{scale}.yaml")
    return merge(params, overlay | {"scale": scale})


def configure(params: Mapping[str, Any], claims: Mapping[str, Any]) -> Configuration:
    """Validate parameters and registry, and resolve every arm.

    Raises:
        SymbreakError: With one line a mistake: file, key, what is wrong, and the nearest valid name.
    """
    checked = _validate(Params, params, "params.yaml")
    arms = {name: _arms(name, experiment) for name, experiment in checked.experiments.items()}
    registry = _validate(Registry, claims, "claims.yaml")
    _check_probes(arms)
    _check_claims(registry, arms)
    return Configuration(params=checked, arms=arms, registry=registry)


def load(root: Path, scale: str | None = None) -> Configuration:
    """Read and validate the configuration of the project in ``root``."""
    return configure(read_params(root, scale), read_yaml(root / "claims.yaml"))


def _validate(model: type[T], value: Mapping[str, Any], file: str, prefix: str = "") -> T:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        _refuse([f"{file}: {_key(prefix, e['loc'])}: {_message(e)}" for e in error.errors()])


def _key(prefix: str, location: tuple[int | str, ...]) -> str:
    return ".".join([*([prefix] if prefix else []), *map(str, location)]) or "(top)"


def _message(error: ErrorDetails) -> str:
    found = "" if isinstance(error["input"], dict) else f", found {error['input']!r}"
    return error["msg"].removeprefix("Value error, ") + found


def _arms(name: str, experiment: Experiment) -> dict[str, ArmSpec]:
    common = {"seeds": experiment.seeds, "threads": experiment.threads}
    return {
        arm: _validate(
            ArmSpec,
            common | merge(experiment.base, override) | {"experiment": name, "arm": arm},
            "params.yaml",
            f"experiments.{name}.arms.{arm}",
        )
        for arm, override in experiment.arms.items()
    }


def _check_probes(arms: dict[str, dict[str, ArmSpec]]) -> None:
    mistakes = [
        f"params.yaml: experiments.{experiment}.arms.{arm}.probes.{problem}"
        for experiment, specs in arms.items()
        for arm, spec in specs.items()
        for probe, options in spec.probes.items()
        for problem in problems(spec, probe, options)
    ]
    if mistakes:
        _refuse(mistakes)


def _check_claims(registry: Registry, arms: dict[str, dict[str, ArmSpec]]) -> None:
    mistakes = [
        f"claims.yaml: claims.{name}.{problem}"
        for name in registry.claims
        for problem in _claim_problems(registry, name, arms)
    ]
    if mistakes:
        _refuse(mistakes)


def _claim_problems(registry: Registry, name: str, arms: dict[str, dict[str, ArmSpec]]) -> Iterator[str]:
    claim = registry.claims[name]
    if claim.experiment not in arms:
        yield f"experiment: no experiment '{claim.experiment}' in params.yaml{nearest(claim.experiment, list(arms))}"
        return
    for arm, spec in arms[claim.experiment].items():
        for probe in claim.probes:
            if probe not in spec.probes:
                known = nearest(probe, list(spec.probes))
                yield f"probes: '{probe}' is not taken by arm '{arm}' of '{claim.experiment}'{known}"
    if claim.figure not in figures():
        yield f"figure: no figure '{claim.figure}' in src/symbreak/figures{nearest(claim.figure, figures())}"
    yield from _evidence_problems(
        name, claim.paper, {p: (q.evidence, q.control.evidence) for p, q in claim.parts.items()}
    )


def _evidence_problems(name: str, paper: str, wanted: dict[str, tuple[str, str]]) -> Iterator[str]:
    module = evidence_module(paper, name)
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not path.is_file():
        yield f"its evidence module src/symbreak/claims/{paper}/{path.name} does not exist"
        return
    defined = [node.name for node in _functions(path)]
    for part, names in wanted.items():
        for function in names:
            if function not in defined:
                yield f"parts.{part}: no function '{function}' in {path.name}{nearest(function, defined)}"


def evidence_module(paper: str, claim: str) -> str:
    """Return the module of a claim's evidence: ``ssb-random-labels`` is ``symbreak.claims.ssb.random_labels``."""
    return f"symbreak.claims.{paper}.{claim.removeprefix(paper + '-').replace('-', '_')}"


@cache
def figures() -> list[str]:
    """Return the names of the figures: modules with a function ``draw``."""
    return [p.stem for p in sorted((PACKAGE / "figures").glob("*.py")) if any(f.name == "draw" for f in _functions(p))]


def _functions(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


def _refuse(mistakes: list[str]) -> NoReturn:
    raise SymbreakError("The configuration is not valid:\n" + "\n".join(f"  {line}" for line in mistakes))

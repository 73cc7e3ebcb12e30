"""What every artifact is made from: its path, its parameters as canonical JSON, its code and its inputs.

The Snakefile hands these to its jobs; ``symbreak status`` compares them with what the manifests say.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from symbreak.config.load import Configuration, configure, evidence_module, load
from symbreak.config.probes import probe_modules
from symbreak.config.specs import ArmSpec
from symbreak.files import canonical
from symbreak.provenance.closure import fingerprint

PROBE, CLAIM, FIGURE = "symbreak.probes.run", "symbreak.claims.run", "symbreak.figures.run"


@dataclass(frozen=True)
class Step:
    """One artifact: ``path``, the parameters (JSON values) and the code that make it, and what it is made from."""

    path: str
    params: dict[str, Any]
    entry: str
    modules: tuple[str, ...]
    inputs: tuple[str, ...]

    @cached_property
    def json(self) -> str:
        """The parameters as canonical JSON."""
        return canonical(self.params)

    @cached_property
    def code(self) -> str:
        """The fingerprint of the code that makes the artifact."""
        return fingerprint(self.entry, self.modules)


class Plan:
    """All artifacts of one scale."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.scale = configuration.params.scale
        self.arms = configuration.arms
        self.claims = configuration.registry.claims

    @classmethod
    def from_config(cls, params: Mapping[str, Any], claims: Mapping[str, Any]) -> "Plan":
        """Plan from parameters that are already merged (Snakemake's ``config``)."""
        return cls(configure(params, claims))

    @classmethod
    def load(cls, root: Path, scale: str | None = None) -> "Plan":
        """Plan from the files of the project in ``root``."""
        return cls(load(root, scale))

    @property
    def sets(self) -> list[str]:
        """The image sets that some arm uses."""
        return sorted({spec.data.set for arms in self.arms.values() for spec in arms.values() if spec.data})

    def data(self, name: str) -> Step:
        """Return the prepared image set ``name``."""
        params = {"set": name, "mirror": self.configuration.params.data.mirror}
        return Step(f"data/{name}.npz", params, "symbreak.data.run", (), ())

    def has_run(self, experiment: str, arm: str) -> bool:
        """Return whether an arm trains anything."""
        return self.arms[experiment][arm].training is not None

    def run(self, experiment: str, arm: str) -> Step:
        """Return the trained ensemble of an arm; its probes are not among its parameters."""
        spec = self.arms[experiment][arm]
        if spec.data is None or spec.model is None or spec.training is None:
            raise ValueError(f"arm '{experiment}/{arm}' trains nothing")
        observers = tuple(f"symbreak.training.observers.{name}" for name in sorted(spec.training.observe))
        return Step(
            f"results/{self.scale}/runs/{experiment}/{arm}.safetensors",
            spec.model_copy(update={"probes": {}}).model_dump(mode="json"),
            "symbreak.training.run",
            (f"symbreak.models.{spec.model.family}", *observers),
            (f"data/{spec.data.set}.npz",),
        )

    def probe(self, experiment: str, arm: str, probe: str) -> Step:
        """Return one probe's table of an arm; of all probes only this one's options are among its parameters."""
        spec = self.arms[experiment][arm]
        inputs = [self.run(experiment, arm).path] if spec.training else []
        inputs += [f"data/{spec.data.set}.npz"] if spec.data else []
        return Step(
            f"results/{self.scale}/probes/{experiment}/{arm}/{probe}.parquet",
            spec.model_copy(update={"probes": {probe: spec.probes[probe]}}).model_dump(mode="json"),
            PROBE,
            probe_modules(spec, probe),
            tuple(inputs),
        )

    def tables(self, claim: str) -> list[Step]:
        """Return the probe tables that a claim is decided on: all arms of its experiment."""
        entry = self.claims[claim]
        return [
            self.probe(entry.experiment, arm, probe) for arm in self.arms[entry.experiment] for probe in entry.probes
        ]

    def claim(self, claim: str) -> Step:
        """Return a claim's file."""
        entry = self.claims[claim]
        paper = self.configuration.registry.papers[entry.paper]
        params = {
            "claim": entry.decided(),
            "paper": {"alpha": paper.alpha, "family_size": paper.family_size},
            "scale": self.scale,
            "experiment": entry.experiment,
            "seeds": {arm: list(spec.seeds) for arm, spec in self.arms[entry.experiment].items()},
        }
        inputs = tuple(step.path for step in self.tables(claim))
        return Step(
            f"results/{self.scale}/claims/{claim}.json", params, CLAIM, (evidence_module(entry.paper, claim),), inputs
        )

    def figure(self, claim: str) -> Step:
        """Return a claim's figure, drawn from the same tables that its verdict was decided on."""
        entry = self.claims[claim]
        decided = self.claim(claim)
        arms = sorted(self.arms[entry.experiment])
        params = {"claim": claim, "figure": entry.figure, "experiment": entry.experiment, "arms": arms}
        return Step(
            f"figures/{self.scale}/{claim}.svg",
            params,
            FIGURE,
            (f"symbreak.figures.{entry.figure}",),
            (*decided.inputs, decided.path),
        )

    def specs(self) -> Iterator[ArmSpec]:
        """Iterate over all arms."""
        for arms in self.arms.values():
            yield from arms.values()

    def steps(self) -> Iterator[Step]:
        """Iterate over all artifacts, inputs before what is made from them."""
        yield from (self.data(name) for name in self.sets)
        yield from (self.run(s.experiment, s.arm) for s in self.specs() if s.training)
        yield from (self.probe(s.experiment, s.arm, p) for s in self.specs() for p in s.probes)
        yield from (self.claim(c) for c in self.claims)
        yield from (self.figure(c) for c in self.claims)

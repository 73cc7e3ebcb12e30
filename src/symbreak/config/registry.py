"""The typed form of claims.yaml: papers, claims, parts, rules and controls."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from symbreak.config.strict import Strict

Paper = Literal["ssb", "gaussnet", "noether", "expansion"]
Method = Literal["t", "welch", "wilson", "clopper_pearson", "bca"]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Rule(Strict):
    """A set of numbers: exactly one of ``at_least``, ``at_most``, ``above``, ``below`` or ``equals`` with ``within``.

    ``equals: a, within: b`` is the closed band [a - b, a + b]; an interval satisfies a rule only if it lies wholly
    inside.
    """

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    equals: float | None = None
    within: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_kind(self) -> "Rule":
        kinds = [k for k in ("at_least", "at_most", "above", "below", "equals") if getattr(self, k) is not None]
        if len(kinds) != 1:
            raise ValueError("a rule is exactly one of at_least, at_most, above, below, equals+within")
        if (self.equals is None) != (self.within is None):
            raise ValueError("'equals' and 'within' belong together")
        return self


class Power(Strict):
    """The true effect and its standard deviation between units (``welch``: of either group) that ``basis`` names."""

    effect: float
    spread: float = Field(ge=0)


class Control(Strict):
    """A measurement in which the effect must be absent; it is decided before the claim.

    ``kind: absent``: its whole interval must lie inside ``rule``. ``kind: must_fail``: its whole interval must
    lie outside the part's own rule (``rule`` is then not given).
    """

    evidence: Identifier
    quantity: str
    kind: Literal["absent", "must_fail"] = "absent"
    rule: Rule | None = None
    regime: Literal["exact", "numeric", "statistical"] | None = None
    interval: Method | None = None

    @model_validator(mode="after")
    def _rule_belongs_to_absent(self) -> "Control":
        if (self.kind == "absent") != (self.rule is not None):
            raise ValueError("a control of kind 'absent' needs 'rule'; one of kind 'must_fail' has none")
        return self


class Part(Strict):
    """One quantity of a claim with its decision. The claim holds if all its parts do."""

    target: str
    evidence: Identifier
    quantity: str
    regime: Literal["exact", "numeric", "statistical"]
    unit: str
    interval: Method | None = None
    rule: Rule
    refuted_if: Rule | None = None
    basis: str
    power: Power | None = None
    control: Control

    @model_validator(mode="after")
    def _statistics_are_named(self) -> "Part":
        statistical = self.regime == "statistical"
        if statistical != (self.interval is not None) or statistical != (self.power is not None):
            raise ValueError("'interval' and 'power' are needed in regime 'statistical' and only there")
        return self


class Amendment(Strict):
    """A rule changed after the entry's first commit."""

    reason: str
    part: Identifier
    old_rule: Rule


class Claim(Strict):
    """One statement of a paper. Its evidence is ``symbreak.claims.<paper>.<id without paper, _ for ->``.

    ``core_minutes``: what it is expected to cost at scale ``desk``; ``symbreak cost`` has what it did cost.
    """

    paper: Paper
    targets: tuple[str, ...] = Field(min_length=1)
    statement: str
    source: str
    experiment: Identifier
    probes: tuple[Identifier, ...] = Field(min_length=1)
    figure: Identifier
    caption: str
    parts: dict[Identifier, Part] = Field(min_length=1)
    amended: tuple[Amendment, ...] = ()
    core_minutes: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _every_target_is_decided(self) -> "Claim":
        decided = {part.target for part in self.parts.values()}
        if decided != set(self.targets):
            raise ValueError(f"'targets' {sorted(self.targets)} and the targets of 'parts' {sorted(decided)} differ")
        unknown = {a.part for a in self.amended} - set(self.parts)
        if unknown:
            raise ValueError(f"'amended' names parts that are not there: {sorted(unknown)}")
        return self

    def decided(self) -> dict[str, Any]:
        """Return what of the entry its decision rests on (JSON values): not ``figure``, ``caption`` and cost."""
        return self.model_dump(mode="json", exclude={"figure", "caption", "core_minutes"})


class PaperEntry(Strict):
    """A source with its catalogue: ``family_size`` is the number of its statistical targets; every
    interval of the paper's claims is at level ``1 - alpha / family_size``."""

    title: str
    reference: str
    alpha: float = Field(gt=0, lt=1)
    family_size: int = Field(ge=1)
    targets: tuple[str, ...]


class Registry(Strict):
    """The whole of claims.yaml."""

    papers: dict[Paper, PaperEntry]
    claims: dict[Annotated[str, Field(pattern=r"^[a-z]+(-[a-z0-9]+)+$")], Claim]

    @model_validator(mode="after")
    def _claims_belong_to_papers(self) -> "Registry":
        for name, claim in self.claims.items():
            if not name.startswith(f"{claim.paper}-"):
                raise ValueError(f"claim '{name}' must start with its paper, '{claim.paper}-'")
            unknown = sorted(set(claim.targets) - set(self.papers[claim.paper].targets))
            if unknown:
                raise ValueError(f"claim '{name}': targets {unknown} are not in papers.{claim.paper}.targets")
        return self

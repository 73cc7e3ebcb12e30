"""What claims cost: from run files that say what was measured, shared where claims share runs."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from symbreak.cost import as_json, costs, show
from symbreak.files import write_json
from symbreak.plan import Plan, Step
from symbreak.provenance.manifest import run_path

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan.load(ROOT, "smoke")


def measured(root: Path, step: Step, seconds: float) -> None:
    run_path(root / step.path).parent.mkdir(parents=True, exist_ok=True)
    write_json(run_path(root / step.path), {"cpu_seconds": seconds, "wall_seconds": 10 * seconds})


def test_a_claim_costs_its_runs_tables_decision_and_figure(plan: Plan, tmp_path: Path) -> None:
    measured(tmp_path, plan.run("gaussnet_mnist", "mse_10"), 90)
    measured(tmp_path, plan.probe("gaussnet_mnist", "mse_10", "accuracy"), 30)
    measured(tmp_path, plan.claim("gaussnet-mnist"), 6)
    measured(tmp_path, plan.run("norm_law", "bn_k0"), 1200)
    (found,) = [c for c in costs(plan, tmp_path, ["gaussnet"]) if c.claim == "gaussnet-mnist"]
    assert found.measured == pytest.approx(126 / 60)
    assert found.missing == 6 + 12 + 2 - 3  # runs, tables, claim and figure


def test_only_the_papers_that_are_asked_for_are_counted_and_summed(plan: Plan, tmp_path: Path) -> None:
    measured(tmp_path, plan.claim("gaussnet-kernel"), 60)
    measured(tmp_path, plan.claim("ssb-goldstone"), 120)
    found = costs(plan, tmp_path, ["gaussnet"])
    assert {c.claim for c in found} == {c for c, entry in plan.claims.items() if entry.paper == "gaussnet"}
    console = Console(file=io.StringIO(), width=200)
    show(found, console)
    assert console.file.getvalue().splitlines()[-1].split()[2] == "1.0"
    assert sum(cost["measured"] for cost in json.loads(as_json(found))) == 1.0


def test_what_two_claims_rest_on_is_shared_between_them(plan: Plan, tmp_path: Path) -> None:
    claims = dict(plan.claims)
    claims["gaussnet-twin"] = claims["gaussnet-mnist"]
    twice = Plan(plan.configuration)
    twice.claims = claims
    measured(tmp_path, plan.run("gaussnet_mnist", "mse_10"), 120)
    found = {c.claim: c.measured for c in costs(twice, tmp_path, ["gaussnet"])}
    assert found["gaussnet-mnist"] == found["gaussnet-twin"] == 1.0

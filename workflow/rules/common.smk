import sys
from math import ceil
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from symbreak.errors import SymbreakError
from symbreak.machine import usable_cores
from symbreak.plan import Plan

try:
    PLAN = Plan.from_config(config, yaml.safe_load(Path("claims.yaml").read_text()))
except SymbreakError as error:
    raise WorkflowError(str(error))


# The typed models above name file, key and nearest name; the schema generated from them is for editors and for
# whoever reads the workflow without Python.
validate(config, "../schemas/params.schema.json")


# Only used with --sdm apptainer; requirements.lock is the environment.
container: "docker://python:3.11-slim"


pathvars:
    results=f"results/{PLAN.scale}",
    figures=f"figures/{PLAN.scale}",
    logs=f"logs/{PLAN.scale}",


wildcard_constraints:
    set="|".join(PLAN.sets),
    experiment="|".join(PLAN.arms),
    arm="[a-z][a-z0-9_]*",
    probe="[a-z][a-z0-9_]*",
    claim="|".join(PLAN.claims),


report: "../report/workflow.rst"


# Jobs run in the environment that Snakemake itself runs in, activated or not.
shell.prefix(f"export PATH={Path(sys.executable).parent}:$PATH; ")


def seats(threads=1):
    """Return so many of Snakemake's cores that at most one job runs on a real core, whatever --cores says."""
    return max(threads, ceil(workflow.cores * threads / usable_cores()))


def probe_inputs(wildcards):
    """Return the run and the data of an arm, under the names that the probe stage knows."""
    paths = PLAN.probe(wildcards.experiment, wildcards.arm, wildcards.probe).inputs
    return {"data" if path.startswith("data/") else "run": path for path in paths}


def histories(wildcards):
    """Return the tables beside the run of an arm, which a probe may read too."""
    run = probe_inputs(wildcards).get("run")
    return (
        [
            str(Path(run).with_suffix(suffix))
            for suffix in (".epochs.parquet", ".steps.parquet")
        ]
        if run
        else []
    )

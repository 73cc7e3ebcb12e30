"""symbreak: data -> ensembles -> probes -> claims -> figures, at the scale that 'scale' names."""

from snakemake.utils import min_version

min_version("9.27.1")


configfile: "params.yaml"


if config["scale"] != "desk":

    configfile: f"params.{config['scale']}.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/probes.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/targets.smk"

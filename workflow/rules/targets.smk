rule:
    name:
        "figures/all"
    default_target: True
    input:
        [
            path
            for claim in PLAN.claims
            for path in (PLAN.claim(claim).path, PLAN.figure(claim).path)
        ],
    localrule: True


for paper in PLAN.configuration.registry.papers:

    rule:
        name:
            f"figures/{paper}"
        input:
            [
                PLAN.figure(claim).path
                for claim, entry in PLAN.claims.items()
                if entry.paper == paper
            ],
        localrule: True


for experiment, arms in PLAN.arms.items():

    rule:
        name:
            f"runs/{experiment}"
        input:
            [
                PLAN.run(experiment, arm).path
                for arm in arms
                if PLAN.has_run(experiment, arm)
            ],
        localrule: True

    rule:
        name:
            f"probes/{experiment}"
        input:
            [
                PLAN.probe(experiment, arm, probe).path
                for arm, spec in arms.items()
                for probe in spec.probes
            ],
        localrule: True

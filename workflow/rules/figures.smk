rule figure:
    input:
        tables=lambda wildcards: PLAN.claim(wildcards.claim).inputs,
        evidence="<results>/claims/{claim}.json",
    output:
        svg=report(
            "<figures>/{claim}.svg",
            caption="../report/claim.rst",
            category=lambda wildcards: PLAN.configuration.registry.papers[
                PLAN.claims[wildcards.claim].paper
            ].title,
            labels=lambda wildcards: {
                "claim": wildcards.claim,
                "targets": ", ".join(PLAN.claims[wildcards.claim].targets),
                "scale": PLAN.scale,
            },
        ),
        png="<figures>/{claim}.png",
        manifest="<figures>/{claim}.manifest.json",
    log:
        "<logs>/figures/{claim}.log",
    threads: seats()
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=lambda wildcards: PLAN.figure(wildcards.claim).json,
        code=lambda wildcards: PLAN.figure(wildcards.claim).code,
        tables=f"results/{PLAN.scale}/probes",
        statement=lambda wildcards: PLAN.claims[wildcards.claim].statement,
        caption=lambda wildcards: PLAN.claims[wildcards.claim].caption,
    shell:
        "python -m symbreak.figures.run --claim {wildcards.claim} --params {params.spec:q} --code {params.code}"
        " --tables {params.tables} --evidence {input.evidence} --out {output.svg} {output.png} > {log} 2>&1"

rule claim:
    input:
        tables=lambda wildcards: PLAN.claim(wildcards.claim).inputs,
    output:
        evidence="<results>/claims/{claim}.json",
        manifest="<results>/claims/{claim}.manifest.json",
    log:
        "<logs>/claims/{claim}.log",
    threads: seats()
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=lambda wildcards: PLAN.claim(wildcards.claim).json,
        code=lambda wildcards: PLAN.claim(wildcards.claim).code,
        tables=f"results/{PLAN.scale}/probes",
    shell:
        "python -m symbreak.claims.run --claim {wildcards.claim} --params {params.spec:q} --code {params.code}"
        " --tables {params.tables} --out {output.evidence} > {log} 2>&1"

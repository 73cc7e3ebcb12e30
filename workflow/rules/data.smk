rule data:
    output:
        npz=ensure("data/{set}.npz", non_empty=True),
        manifest="data/{set}.manifest.json",
    log:
        "<logs>/data/{set}.log",
    benchmark:
        "<logs>/data/{set}.jsonl"
    retries: 1
    threads: seats()
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=lambda wildcards: PLAN.data(wildcards.set).json,
        code=lambda wildcards: PLAN.data(wildcards.set).code,
    shell:
        "python -m symbreak.data.run --set {wildcards.set} --params {params.spec:q} --code {params.code}"
        " --out {output.npz} > {log} 2>&1"

rule run:
    input:
        data=lambda wildcards: PLAN.run(wildcards.experiment, wildcards.arm).inputs[0],
    output:
        weights="<results>/runs/{experiment}/{arm}.safetensors",
        steps="<results>/runs/{experiment}/{arm}.steps.parquet",
        epochs="<results>/runs/{experiment}/{arm}.epochs.parquet",
        manifest="<results>/runs/{experiment}/{arm}.manifest.json",
    log:
        "<logs>/runs/{experiment}/{arm}.log",
    benchmark:
        "<logs>/runs/{experiment}/{arm}.jsonl"
    threads: lambda wildcards: seats(PLAN.arms[wildcards.experiment][wildcards.arm].threads)
    resources:
        mem_mb=4000,
        runtime=lambda wildcards: 24 * 60 if PLAN.scale == "paper" else 60,
        gpu=lambda wildcards: int(PLAN.scale == "paper"),
    params:
        spec=lambda wildcards: PLAN.run(wildcards.experiment, wildcards.arm).json,
        code=lambda wildcards: PLAN.run(wildcards.experiment, wildcards.arm).code,
    shell:
        "python -m symbreak.training.run --params {params.spec:q} --code {params.code} --data {input.data}"
        " --out {output.weights} > {log} 2>&1"

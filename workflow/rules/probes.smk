rule probe:
    input:
        unpack(probe_inputs),
        histories=lambda wildcards: histories(wildcards),
    output:
        table="<results>/probes/{experiment}/{arm}/{probe}.parquet",
        manifest="<results>/probes/{experiment}/{arm}/{probe}.manifest.json",
    log:
        "<logs>/probes/{experiment}/{arm}/{probe}.log",
    benchmark:
        "<logs>/probes/{experiment}/{arm}/{probe}.jsonl"
    threads: lambda wildcards: seats(PLAN.arms[wildcards.experiment][wildcards.arm].threads)
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda wildcards: PLAN.probe(
            wildcards.experiment, wildcards.arm, wildcards.probe
        ).json,
        code=lambda wildcards: PLAN.probe(
            wildcards.experiment, wildcards.arm, wildcards.probe
        ).code,
        # Made from the input's names, not from 'input' itself, which Snakemake would not track.
        sources=lambda wildcards: " ".join(
            f"--{name} {path}" for name, path in probe_inputs(wildcards).items()
        ),
    shell:
        "python -m symbreak.probes.run --probe {wildcards.probe} --params {params.spec:q} --code {params.code}"
        " {params.sources} --out {output.table} > {log} 2>&1"

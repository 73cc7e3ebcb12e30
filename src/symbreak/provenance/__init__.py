"""Fingerprints, manifests, and the bridge between Snakemake and DVC."""

"""Probes, one a file: pure functions from a run to a tidy table."""

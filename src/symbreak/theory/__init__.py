"""Closed forms that probes are compared with."""

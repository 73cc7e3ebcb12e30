"""Loops compiled by numba, for one CPU thread; imported where they are used, as numba itself takes time to import."""

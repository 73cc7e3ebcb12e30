"""Figures, one a file, one style."""

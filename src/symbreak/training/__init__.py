"""The ensemble engine."""

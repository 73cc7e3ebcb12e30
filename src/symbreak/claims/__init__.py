"""The registry of claims, decision rules, and one evidence module a claim."""

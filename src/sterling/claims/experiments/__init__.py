"""One file for each claim: statement, rule, experiment, budgets and pictures.

Each file has a `CLAIM`; `sterling.claims.catalogue` finds them all.
"""

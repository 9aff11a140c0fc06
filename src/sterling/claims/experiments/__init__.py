"""One file a claim: what the source states, the experiment and its budgets, its rule and its pictures.

Each file has a `CLAIM`; `sterling.claims.catalogue` finds them all.
"""

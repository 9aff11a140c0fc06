"""The page of a reproduction, made from findings."""

"""Benchmarks: ``python -m benchmarks`` or ``make bench`` measures the bars of the engine."""

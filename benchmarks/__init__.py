"""Measures every bar that sterling has set itself: ``python -m benchmarks`` or ``make bench``."""

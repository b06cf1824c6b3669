"""Faults of the machine, tried on what keeps files; docs/reliability.md has the promises.

`pytest tests/faults` is the short run. `TURNKEEP_TRIALS=50 pytest tests/faults -s` tries fifty
times as much, other cases each time, and prints how much was tried.
"""

"""Inputs from strangers: files of a folder, keys, names, notes, entities, and models' texts.

`pytest tests/fuzz` tries each target for some seconds. `python -m fuzz --seconds 600` in `tests`
tries each for ten minutes, guided by coverage where `atheris` is installed; see `__main__`.
"""

"""One module a workload: `run` measures, `table` prints, `plot` draws."""

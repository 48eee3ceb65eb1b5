"""The benchmark: `python -m bench` measures every stage beside its limit, in one run on one machine."""

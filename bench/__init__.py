"""The benchmark: `python -m bench` measures every stage beside what bounds it, in one run on one machine."""

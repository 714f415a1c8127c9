"""Fuzzes reading results; see README.md."""

import sys

import atheris

with atheris.instrument_imports(include=["pytest_arena_state"]):
    from targets import read_results

atheris.Setup(sys.argv, read_results)
atheris.Fuzz()

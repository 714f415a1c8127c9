"""Fuzzes reading journals; see README.md."""

import sys

import atheris

with atheris.instrument_imports(include=["pytest_arena_state"]):
    from targets import read_journals

atheris.Setup(sys.argv, read_journals)
atheris.Fuzz()

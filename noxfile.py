"""The version matrix, and the checks that CI runs.

An interpreter that is not on this machine is skipped, so `nox` alone runs what can be run here.
"""

from itertools import product

import nox

nox.needs_version = ">=2024.10.9"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "types", "tests"]

NEWEST = "newest"
PYTESTS = ["8.2", "8.4", "9"]
FILELOCKS = ["3.16", NEWEST]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
PYTHONS_OF_PYDANTIC = {
    "2.7": ["3.11", "3.12"],  # its compiled core has no wheels for 3.13 and newer
    NEWEST: PYTHONS,
}
PYTHONS_AND_PYDANTICS = [(python, pydantic) for pydantic, pythons in PYTHONS_OF_PYDANTIC.items() for python in pythons]


def requirement(name: str, version: str) -> str:
    """The newest release of ``name``, or the newest of the series ``version``."""
    return name if version == NEWEST else f"{name}=={version}.*"


@nox.session
@nox.parametrize(
    ["python", "pydantic", "pytest", "filelock"],
    [(*pair, pytest, filelock) for pair, pytest, filelock in product(PYTHONS_AND_PYDANTICS, PYTESTS, FILELOCKS)],
)
def tests(session: nox.Session, pydantic: str, pytest: str, filelock: str) -> None:
    """The suite, for every pair of a Python and its dependencies that can exist."""
    session.install(
        *("-e", ".[prices,test]" if pydantic == NEWEST else ".[test]"),  # genai-prices needs pydantic 2.10
        *(["pytest-subtests"] if pytest.startswith("8.") else []),  # a part of pytest since 9
        requirement("pydantic", pydantic),
        requirement("pytest", pytest),
        requirement("filelock", filelock),
    )
    session.run("python", "-m", "pytest", "-W", "error", "-n", "2", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """The long form of the fault suite."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", "-m", "long", *session.posargs)


@nox.session
def sdk(session: nox.Session) -> None:
    """The tests with the real clients, which skip in the sessions above."""
    session.install("-e", ".[test,sdk]")
    session.run("python", "-m", "pytest", "tests/capture", "tests/observing", *session.posargs)


@nox.session
def litellm(session: nox.Session) -> None:
    """LiteLLM, which wants filelock below 4 and versions of OpenAI's client that the others do not."""
    session.install("-e", ".[test]", "litellm", "pytest-httpserver>=1.1")
    session.run("python", "-m", "pytest", "tests/capture", "-k", "litellm or went_wrong or latencies", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's rules and its format."""
    session.install("ruff")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy over the package, its tests and the examples."""
    session.install("-e", ".[dev]")
    session.run("mypy")

"""Options, marker, fixtures and hooks: adapters between pytest and a session.

This module is loaded in every pytest run of everyone who has the package installed, so it
imports nothing that pytest has not imported already. Everything else is imported when an
option or a fixture asks for it.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from types import FunctionType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .recorder import ArenaRun
    from .store import ArenaStateStore

#: Keywords of the ``arena`` marker that limit what a test's conversations take.
BUDGET_KEYWORDS = frozenset(("max_cost_usd", "max_latency_ms", "max_tokens"))
#: All of them: these, and the fields of RunMetadata that a test can know beforehand.
MARKER_KEYWORDS = BUDGET_KEYWORDS | frozenset(
    (
        "a2a_agents",
        "assistant_role",
        "commit",
        "conv_assertions_results",
        "duration",
        "end_time",
        "error",
        "eval_results",
        "labels",
        "params",
        "persona_id",
        "prompt_pack",
        "provider_id",
        "recording_path",
        "region",
        "run_id",
        "scenario_id",
        "self_play",
        "session_tags",
        "skip_reason",
        "skipped",
        "start_time",
        "trial_results",
        "user_feedback",
        "user_role",
    )
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("arena", "conversations with language models")
    group.addoption(
        "--arena-results",
        metavar="PATH",
        help="write a RunResult report of every conversation: to a directory, or to one file "
        "when PATH ends in .jsonl, .jsonl.gz, .jsonl.zst or .json; to an object store when it is a URL",
    )
    group.addoption(
        "--arena-raw", action="store_true", default=False, help="keep raw requests and responses of LLM calls, too"
    )
    group.addoption(
        "--arena-capture",
        action="store_true",
        default=False,
        help="record conversations of libraries that tell of their calls: OpenTelemetry, LangChain, the OpenAI "
        "Agents SDK, LiteLLM; `arena-state doctor` says what is captured here",
    )
    group.addoption("--arena-html", metavar="FILE", help="write the results as one HTML file, too")
    group.addoption("--arena-markdown", metavar="FILE", help="write a summary of the results as Markdown, too")
    group.addoption("--arena-baseline", metavar="PATH", help="results of before; reports show the change against them")
    group.addoption(
        "--arena-github",
        action="store_true",
        default=False,
        help="in GitHub Actions: a step summary, and annotations of failed runs",
    )
    group.addoption("--arena-prices", metavar="FILE", help="prices of models, in a TOML or JSON file")
    parser.addini(
        "arena_media_limit", "bytes of an image, a sound or a document that stay in its run", default="393216"
    )
    parser.addini("arena_prices", "default for --arena-prices, relative to the rootdir")
    parser.addini("arena_capture", "default for --arena-capture", type="bool", default=False)
    parser.addini("arena_github", "default for --arena-github", type="bool", default=False)
    parser.addini("arena_results", "default for --arena-results, relative to the rootdir")
    parser.addini("arena_redact", "regular expressions of texts that must not be written", type="linelist")
    parser.addini("arena_redact_env", "redact values of secret environment variables", type="bool", default=True)
    parser.addini("arena_redact_keys", "redact what has the shape of a well-known key", type="bool", default=True)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from . import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Before anybody's conftest imports a library: some decide at that moment what they tell.
    if early_config.known_args_namespace.arena_capture or early_config.getini("arena_capture"):
        with suppress(ImportError):  # which is told when the session is configured
            from . import _capturing

            _capturing.register(early_config)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "arena(**metadata): run metadata of the test's conversations, such as scenario_id, provider_id, labels; "
        "and budgets: max_cost_usd, max_latency_ms, max_tokens",
    )
    if hasattr(config, "workerinput") and not _is_usable(config):
        return
    if config.getoption("arena_prices") or config.getini("arena_prices"):
        from . import _test_hooks

        _test_hooks.read_prices(config)
    if config.getoption("arena_results") or config.getini("arena_results"):
        from . import _hooks

        _hooks.register(config)
    else:
        for option in ("html", "markdown", "baseline"):
            if config.getoption(f"arena_{option}"):
                raise pytest.UsageError(f"--arena-{option} goes with --arena-results, which says where the results are")
    if config.getoption("arena_capture") or config.getini("arena_capture"):
        from . import _capturing

        _capturing.register(config)


def _is_usable(config: pytest.Config) -> bool:
    """Whether this worker can do what is asked of it, if anything is; the tests of one that cannot run without us.

    With ``--tx popen//python=…`` it is a Python of its own, and may be one for which a library of ours is not built.
    """
    if any(
        config.getoption(name) or config.getini(name) for name in ("arena_prices", "arena_results", "arena_capture")
    ):
        try:
            from . import _test_hooks  # noqa: F401 - with all that the rest stands on
        except ImportError as error:
            from . import _xdist

            _xdist.tell_unusable(config, error)
            return False
    return True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "arena_store" in metafunc.fixturenames or "arena_session_store" in metafunc.fixturenames:
        # Before tests run: what is imported while files are fake, pyfakefs forgets, and then there are two of a class.
        with suppress(ImportError):  # which is the fixture's to tell
            from . import _test_hooks, models  # noqa: F401
    for marker in metafunc.definition.iter_markers("arena"):
        check_marker(marker, metafunc.config)
    for parametrization in metafunc.definition.iter_markers("parametrize"):
        values = parametrization.args[1] if len(parametrization.args) > 1 else parametrization.kwargs.get("argvalues")
        if isinstance(values, list | tuple):  # an iterator is not ours to use up
            for value in values:
                for marker in getattr(value, "marks", ()):
                    if marker.name == "arena":
                        check_marker(getattr(marker, "mark", marker), metafunc.config)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> None:
    # The methods of unittest's classes are not told to pytest_generate_tests.
    if isinstance(obj, type) and (unittest := sys.modules.get("unittest")) is not None:
        try:
            of_unittest = issubclass(obj, unittest.TestCase)
        except Exception:  # noqa: BLE001 - a class may do anything when it is asked
            return
        for holder in obj.__mro__ if of_unittest else ():
            functions = [value for value in vars(holder).values() if isinstance(value, FunctionType)]
            for marked in (holder, *functions):
                marks = vars(marked).get("pytestmark", ())
                for marker in marks if isinstance(marks, list | tuple) else (marks,):
                    mark = getattr(marker, "mark", marker)
                    if isinstance(mark, pytest.Mark) and mark.name == "arena":
                        check_marker(mark, collector.config)


def check_marker(marker: pytest.Mark, config: pytest.Config) -> None:
    """Fail the collection over an ``arena`` marker that has an unknown keyword, or a limit that is none."""
    unknown = sorted(set(marker.kwargs) - MARKER_KEYWORDS)
    if marker.args and not (config.getoption("arena_results") or config.getini("arena_results")):
        return  # ours takes none, and is asked for nothing here: a suite may have a marker of this name for itself
    if unknown or marker.args:
        what = f"unknown keyword {unknown[0]!r}" if unknown else "positional arguments"
        pytest.fail(
            f"@pytest.mark.arena takes fields of RunMetadata and budgets as keywords: {what}; "
            f"there are {', '.join(sorted(MARKER_KEYWORDS))}",
            pytrace=False,
        )
    if BUDGET_KEYWORDS.isdisjoint(marker.kwargs):
        return
    from . import _budgets

    _budgets.register(config)
    problem = _budgets.problem_of(marker.kwargs)
    if problem:
        pytest.fail(f"@pytest.mark.arena: {problem}", pytrace=False)


@pytest.fixture
def arena_store(request: pytest.FixtureRequest) -> ArenaStateStore:
    """The store of this test's conversations; each becomes a run in the results."""
    from . import _test_hooks

    return _test_hooks.store_of(request.node)


@pytest.fixture(scope="session")
def arena_session_store(request: pytest.FixtureRequest) -> ArenaStateStore:
    """A store for fixtures of wider scope; one per process, and its runs get no verdict."""
    from . import _test_hooks

    return _test_hooks.session_store_of(request.config)


@pytest.fixture
def arena_run(request: pytest.FixtureRequest, arena_store: ArenaStateStore) -> ArenaRun:
    """A recorder for the one conversation that most tests have; its id is the node id."""
    from . import _test_hooks

    return _test_hooks.run_of(request.node, arena_store)

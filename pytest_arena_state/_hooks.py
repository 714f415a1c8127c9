"""The hooks of a session that writes results; registered only when it does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from os import getpid  # by name: a test may replace what the module has
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from . import _xdist, termination
from ._test_hooks import HOOKS_KEY, TestHooks, name_of_interruption
from ._text import plural, printable
from .after_session import ReportsAfterSession
from .errors import ConfigurationError
from .summary import advice, summary_lines

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from .models import RunResult
    from .reading import Target
    from .redaction import RedactionRules
    from .session import Session
    from .worker import WorkerSession


class WorkerHooks(TestHooks):
    """In a worker of xdist."""

    def __init__(self, config: pytest.Config, session: WorkerSession) -> None:
        super().__init__(config, _journals(config))
        self._session = session
        self.tests = session.tests

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        # Only now every conftest is there; most that lie deeper are found while tests are collected.
        self._session.tests.recording.ask(_on_run(self._config), _on_text(self._config))
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        try:
            return (yield)
        finally:
            self._session.finish(self.interruption or _interruption(session))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        self._session.finish(self.interruption or "the worker was stopped")


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM while tests run; no `Exception`, which clients of models take for a broken connection."""


class SessionHooks(TestHooks):
    """In the process that the user started: runs the tests, or controls workers that do."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config, _journals(config))
        self._session: Session | None = None
        self._pid = getpid()
        self._failure = ""
        self._printed = False
        self._further: list[str] = []
        self._reports = _reports_of(config)
        self._restore_termination: Callable[[], None] = lambda: None
        self._tests_run = False

    def _start(self) -> Session | None:
        if self._session is None and not self._failure:
            try:
                self._session = _make_session(self._config)
                self._restore_termination = termination.install(self._end_by_sigterm)
                self.tests = None if self._session.controls_workers else self._session.tests
            except Exception as error:  # noqa: BLE001 - the tests run without us, and the summary says so
                self._failure = f"{type(error).__name__}: {error}"
        return self._session

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_xdist_setupnodes(self) -> None:
        _xdist.require_text(self._config)
        session = self._start()
        if session is not None:
            self._config.pluginmanager.register(_xdist.ControllerHooks(session), "arena_state_controller")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        if not self._config.option.collectonly:
            self._start()
        # With `--pdb`, pytest would open its debugger for an interrupt.
        self._tests_run = not self._config.getoption("usepdb", False)
        try:
            return (yield)
        except _TerminatedError:
            pytest.exit("SIGTERM", returncode=termination.EXIT_STATUS)
        finally:
            self._tests_run = False

    def _end_by_sigterm(self) -> None:
        if self._tests_run:
            raise _TerminatedError
        pytest.exit("SIGTERM", returncode=termination.EXIT_STATUS)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        try:
            return (yield)
        except KeyboardInterrupt:
            if self._session is not None:
                self._session.hurry()  # a second Ctrl-C, while the workers were ending
            raise
        finally:
            self._finish(self.interruption or _interruption(session))

    def _finish(self, interruption: str) -> None:
        session = self._session
        try:
            if session is not None and session.outcome is None:
                session.interrupted_by = interruption
                with session.umask_of_the_user():
                    self._publish(session)
        except (KeyboardInterrupt, pytest.exit.Exception) as error:
            self._reports.cut_short(name_of_interruption(error))
            if isinstance(error, KeyboardInterrupt):  # all is published: no reason to show where in our code it came
                pytest.exit("KeyboardInterrupt", returncode=pytest.ExitCode.INTERRUPTED)
            raise
        finally:
            self._restore_termination()

    def _publish(self, session: Session) -> None:
        self._reports.remember()
        with termination.held_back(session.hurry):
            outcome = session.finish()
        if outcome.totals is not None:
            self._reports.write(session.target)
            self._tell_hooks(session.target)
            session.upload()

    def _tell_hooks(self, target: Target) -> None:
        hook = self._config.hook.pytest_arena_results
        if not hook.get_hookimpls():
            return
        from .results import read_index

        try:
            with _outcomes_as_errors():
                hook(config=self._config, path=target.path, index=read_index(target.path))
        except Exception as error:  # noqa: BLE001 - somebody's hook may raise anything
            self._failure = f"pytest_arena_results raised {type(error).__name__}: {error}"

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        for line in self._lines():
            terminalreporter.write_line(line)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        self._finish("the session ended early")
        lines = self._lines()
        terminal: TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        if lines and terminal is not None:
            with suppress(OSError, ValueError):
                terminal.ensure_newline()  # the progress of the tests stands on the same terminal
                terminal.flush()
        _write_error("".join(f"{line}\n" for line in lines))

    def _lines(self) -> list[str]:
        if getpid() != self._pid:
            return []  # a child got out of its test and ends its copy of the session; its parent publishes
        if self._printed or (self._session is None and not self._failure):
            return []
        self._printed = True
        if self._session is None or self._session.outcome is None:
            lines = [f"arena: no results: {self._failure or 'the session did not end'}"]
            if self._session is not None:
                lines.append(advice(self._session, str(self._session.directory)))
            return lines
        recording = self._session.tests.recording
        lines = summary_lines(self._session)
        if self._failure:
            self._further.append(self._failure)
        if recording.late:
            what = plural(recording.late, "change")
            end = "is lost" if recording.late == 1 else "are lost"
            self._further.append(f"{what} came after the end of the session, and {end}")
        further = [recording.redactor.redact_text(line) for line in (*self._reports.troubles, *self._further)]
        return [*lines, *(f"arena: {printable(line)}" for line in further), *self._reports.annotations]


def _write_error(text: str) -> None:
    """Write to the standard error, where there is one that takes it."""
    stream, own = sys.stderr, sys.__stderr__
    with suppress(OSError, ValueError, AttributeError):
        if own is not None and stream is own:
            # Past its buffer: what cannot be flushed would end the process with a status of its own.
            own.flush()
            os.write(own.fileno(), text.encode("utf-8", "backslashreplace"))
        else:
            stream.write(text)


def _reports_of(config: pytest.Config) -> ReportsAfterSession:
    wanted = {"html": config.getoption("arena_html"), "md": config.getoption("arena_markdown")}
    return ReportsAfterSession(
        config.invocation_params.dir,
        config.rootpath,
        {format: file for format, file in wanted.items() if file},
        github=bool(config.getoption("arena_github") or config.getini("arena_github")),
        baseline=config.getoption("arena_baseline") or "",
    )


def _interruption(session: pytest.Session) -> str:
    if session.shouldstop:
        return str(session.shouldstop)
    if session.shouldfail:
        return str(session.shouldfail)
    return ""


def _target(config: pytest.Config) -> Target:
    from .target import Target, is_url, place_of

    given, base = config.getoption("arena_results"), config.invocation_params.dir
    if not given:
        given, base = config.getini("arena_results"), config.rootpath
    if is_url(given):
        from . import cloud

        return cloud.Place.of(given).target(cloud.root_for(config.rootpath), config.invocation_params.dir)
    path, started = place_of(given, base).absolute(), config.invocation_params.dir
    if base != started:  # from there, what an ini value says leads nowhere
        given = path.relative_to(started) if path.is_relative_to(started) else path
    return Target(path, str(given))


def _journals(config: pytest.Config) -> Path | None:
    try:
        return _target(config).journals
    except ValueError:
        return None  # of a path without a name, which the session complains about


def _require_libraries(config: pytest.Config) -> None:
    from .packing import require
    from .target import is_url, packing_of

    given = config.getoption("arena_results") or config.getini("arena_results")
    try:
        require(packing_of(Path(given)))
        if is_url(given):
            from . import cloud

            cloud.Place.of(given)
            cloud.require()
    except ConfigurationError as error:
        name = "--arena-results" if config.getoption("arena_results") else "arena_results"
        raise pytest.UsageError(f"{name}: {error}") from None


def _check_reports(config: pytest.Config) -> None:
    """See that each report has a file of its own."""
    from .target import is_url, place_of

    taken: dict[Path, str] = {}
    with suppress(ValueError):  # of a path without a name, which the session complains about
        target = _target(config)
        taken = dict.fromkeys((target.path, target.index_path), "the results")
    for name in ("html", "markdown"):
        given = config.getoption(f"arena_{name}")
        if not given:
            continue
        if is_url(given):
            raise pytest.UsageError(f"--arena-{name}: a report is written to a disk, not to an object store")
        owner = taken.setdefault(place_of(given, config.invocation_params.dir).absolute(), f"--arena-{name}")
        if owner != f"--arena-{name}":
            raise pytest.UsageError(f"--arena-{name}: {given!r} is the file of {owner}; choose another one")


def _media_limit(config: pytest.Config) -> int:
    given = str(config.getini("arena_media_limit"))
    try:
        limit = int(given)
    except ValueError:
        limit = -1
    if limit < 0:
        raise pytest.UsageError(f"arena_media_limit: {given!r} is not a number of bytes")
    return limit


def _redaction(config: pytest.Config) -> RedactionRules:
    from .redaction import RedactionRules

    return RedactionRules(
        env=config.getini("arena_redact_env"),
        keys=config.getini("arena_redact_keys"),
        patterns=tuple(config.getini("arena_redact")),
    )


def _check_redaction(config: pytest.Config) -> None:
    from .redaction import Redactor

    try:
        Redactor(_redaction(config), environ={})
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None


def _make_session(config: pytest.Config) -> Session:
    from .session import Session, Settings

    rules = _redaction(config)
    return Session(
        _target(config),
        Settings(
            redaction=rules,
            keep_raw=config.getoption("arena_raw"),
            media_limit=_media_limit(config),
            config_file=_relative(config.inipath, config.rootpath) if config.inipath is not None else "",
        ),
        controls_workers=_xdist.controls_workers(config),
        on_run=_on_run(config),
        on_text=_on_text(config),
    )


def _relative(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name


@contextmanager
def _outcomes_as_errors() -> Iterator[None]:
    """Treat `pytest.fail` and `pytest.skip` in somebody's hook like any exception: they are no `Exception`."""
    try:
        yield
    except (pytest.fail.Exception, pytest.skip.Exception) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from error


def _on_run(config: pytest.Config) -> Callable[[RunResult], None] | None:
    if not config.hook.pytest_arena_run.get_hookimpls():
        return None

    def call(run: RunResult) -> None:
        with _outcomes_as_errors():
            config.hook.pytest_arena_run(config=config, run=run)

    return call


def _on_text(config: pytest.Config) -> Callable[[str], str | None] | None:
    if not config.hook.pytest_arena_redact.get_hookimpls():
        return None

    def call(text: str) -> str | None:
        with _outcomes_as_errors():
            answer: str | None = config.hook.pytest_arena_redact(config=config, text=text)
        return answer

    return call


def register(config: pytest.Config) -> None:
    """Begin to write results; a failure to do so is named in the summary.

    Raises:
        pytest.UsageError: Something must be installed first.
    """
    if config.option.collectonly or config.getoption("setupplan", False) or config.getoption("setuponly", False):
        return  # no test runs
    hooks: SessionHooks | WorkerHooks
    if _xdist.is_worker(config):
        told = _xdist.worker_told(config)
        if told is None:
            return
        from .worker import WorkerSession

        channel, settings, worker = told
        try:
            hooks = WorkerHooks(
                config, WorkerSession(settings, worker, channel, on_run=_on_run(config), on_text=_on_text(config))
            )
        except Exception as error:  # noqa: BLE001 - the worker's tests run without us, and the controller says so
            _xdist.tell_unusable(config, error)
            return
    else:
        _require_libraries(config)
        _check_reports(config)
        _media_limit(config)
        _check_redaction(config)
        hooks = SessionHooks(config)
    config.stash[HOOKS_KEY] = hooks
    config.pluginmanager.register(hooks, "arena_state_session")
    if config.getoption("xmlpath", None):
        from ._junit import JUnitProperties

        # After the others: of hooks that want to be first, the one that came last is.
        config.pluginmanager.register(JUnitProperties(config, hooks), "arena_state_junit")


__all__ = ["register"]

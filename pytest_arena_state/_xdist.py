"""What the controller adds; registered only when xdist is there."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from .session import Session

#: In ``workerinput``: a channel of our own, and what the worker is told.
WORKERINPUT_KEY = "arena_state"
_PRICES_KEY = "arena_state_prices"


class ControllerHooks:
    """Tells each worker where its journal is."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        # Its own channel: reports stop being read on Ctrl-C, this does not.
        channel = node.gateway.newchannel()
        channel.setcallback(self._session.receiver(node.workerinput["workerid"]))
        node.workerinput[WORKERINPUT_KEY] = (channel, self._session.for_worker())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        if error:  # and it was not told to end
            self._session.died.add(node.workerinput["workerid"])


class PricesForWorkers:
    """Tells each worker the prices: it may be where the file is not."""

    def __init__(self, prices: dict[str, Any]) -> None:
        self._prices = prices

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput[_PRICES_KEY] = self._prices


def prices_told(config: pytest.Config) -> dict[str, Any] | None:
    """The prices that a controller told this process; None outside a worker."""
    told: dict[str, Any] | None = (getattr(config, "workerinput", None) or {}).get(_PRICES_KEY)
    return told


def worker_told(config: pytest.Config) -> tuple[Any, dict[str, Any], str] | None:
    """What a controller told this process: channel, settings, the worker's id; None outside a worker."""
    workerinput = getattr(config, "workerinput", None)
    if not workerinput or WORKERINPUT_KEY not in workerinput:
        return None
    channel, told = workerinput[WORKERINPUT_KEY]
    return channel, told, workerinput["workerid"]


def tell_unusable(config: pytest.Config, error: Exception) -> None:
    """Tell the controller that this worker keeps nothing."""
    told = worker_told(config)
    if told is not None:
        channel, _, worker = told
        # By hand: what makes records may be what cannot be imported here.
        lost = {"k": "lost", "what": f"everything of {worker}", "why": f"no journal: {type(error).__name__}: {error}"}
        record = json.dumps(lost).encode("ascii")
        with suppress(OSError):
            channel.send(b'{"crc":"%08x","r":%b}\n' % (zlib.crc32(record), record))


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of xdist."""
    return hasattr(config, "workerinput")


def require_text(config: pytest.Config) -> None:
    """See that workers can be told what was asked for: xdist sends them all options, as text.

    Raises:
        pytest.UsageError: They cannot.
    """
    for name in ("results", "html", "markdown", "baseline", "prices"):
        given = config.getoption(f"arena_{name}")
        try:
            str(given).encode()
        except UnicodeEncodeError:
            raise pytest.UsageError(
                f"--arena-{name}: {given!r} is not UTF-8, and xdist can tell its workers nothing else"
            ) from None


def controls_workers(config: pytest.Config) -> bool:
    """Whether this process hands its tests to workers."""
    return config.pluginmanager.hasplugin("dsession")

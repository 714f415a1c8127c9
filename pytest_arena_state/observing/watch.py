"""The doors that are open in this process, and those that are shut.

Hooks that libraries call cannot all be taken off again, so a door is installed once for a
module and stays; it asks for the current observation whenever it is told something.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType

from . import agents, langchain, litellm, otel
from .imports import ImportWatch

#: By the module that must be imported: what goes to its door. Installing twice does nothing.
DOORS: dict[str, Callable[[ModuleType], None]] = {
    **otel.DOORS,
    **langchain.DOORS,
    **agents.DOORS,
    **litellm.DOORS,
}
#: Content is off by default; whoever asks for capture wants it. Never over a value that the user set.
ENVIRONMENT = {
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE": "content",
}


class Watch:
    """Capture, while a session of pytest asks for it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        """What went wrong at a door while no test could be told."""
        self._imports = ImportWatch(self._open, list(DOORS))
        self._set: list[str] = []

    def start(self) -> None:
        """Watch for libraries from now on, and see to it that they tell what was said."""
        for name, value in ENVIRONMENT.items():
            if name not in os.environ:
                os.environ[name] = value
                self._set.append(name)
        self._imports.start()

    def look(self) -> None:
        """Before a test: doors that were opened, closed or replaced without an import."""
        self._imports.look()

    def stop(self) -> None:
        """Watch no more; hooks that cannot be taken off do nothing from now on."""
        self._imports.stop()
        for name in self._set:
            if os.environ.get(name) == ENVIRONMENT[name]:
                del os.environ[name]
        self._set.clear()

    def _open(self, module: ModuleType) -> None:
        try:
            DOORS[module.__name__](module)
        except Exception as error:  # noqa: BLE001 - the user imports a library, and that must succeed
            problem = f"{module.__name__}: nothing is captured through it: {type(error).__name__}: {error}"
            if problem not in self.problems:
                self.problems.append(problem)


__all__ = ["DOORS", "ENVIRONMENT", "Watch"]

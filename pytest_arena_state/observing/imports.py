"""Being told when the user's code has imported a module, without importing it.

A finder at the front of ``sys.meta_path`` finds nothing by itself: it asks the finders behind
it, and has the loader that they name call us once the module is executed. The loader, its
type and the module stay what they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class ImportWatch:
    """Calls back once for each of some modules, when it is imported; at once for those that are."""

    def __init__(self, on_import: Callable[[ModuleType], None], names: Sequence[str]) -> None:
        """Watch for modules of these names; ``on_import`` must not raise."""
        self._on_import = on_import
        self._names = frozenset(names)
        self._looking: set[str] = set()

    def start(self) -> None:
        """Watch from now on."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self.look()

    def stop(self) -> None:
        """Watch no more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def look(self) -> None:
        """Tell of what was imported past the finder; the callback sees a module again and again."""
        for name in self._names:
            module = sys.modules.get(name)
            if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
                self._on_import(module)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Part of the import system: the spec that the other finders give, with a loader that tells us."""
        if name not in self._names or name in self._looking:
            return None
        self._looking.add(name)
        try:
            for finder in sys.meta_path:
                find: Any = getattr(finder, "find_spec", None)
                spec: ModuleSpec | None = find(name, path, target) if finder is not self and find is not None else None
                if spec is not None:
                    self._follow(spec)
                    return spec
            return None
        finally:
            self._looking.discard(name)

    def _follow(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        execute = getattr(loader, "exec_module", None)
        if execute is None:
            return

        def exec_module(module: ModuleType) -> None:
            with suppress(AttributeError):  # somebody else took it off
                del loader.exec_module
            execute(module)
            self._on_import(module)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            return  # a loader without a dict: the module is found before the next test

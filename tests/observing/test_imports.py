"""We are told when somebody imports a module, and import nothing ourselves."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pytest_arena_state.observing.imports import ImportWatch


class Watched:
    """Modules of a library on the path, and what we were told of."""

    def __init__(self, path: Path) -> None:
        package = path / "a_library"
        package.mkdir()
        (package / "__init__.py").write_text("from . import inner\nWHOLE = True\n", encoding="utf-8")
        (package / "inner.py").write_text('"""Inner."""\nWHOLE = True\n', encoding="utf-8")
        (package / "broken.py").write_text("1 / 0\n", encoding="utf-8")
        self.told: list[str] = []
        self.watch = ImportWatch(self._tell, ["a_library", "a_library.inner", "a_library.broken", "no_such_module"])

    def _tell(self, module: ModuleType) -> None:
        assert module.WHOLE
        assert sys.modules[module.__name__] is module
        self.told.append(module.__name__)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.syspath_prepend(tmp_path)
    watched = Watched(tmp_path)
    watched.watch.start()
    yield watched
    watched.watch.stop()
    for name in [name for name in sys.modules if name.startswith("a_library")]:
        del sys.modules[name]


def test_a_module_is_told_of_when_all_of_it_is_there(watched: Watched) -> None:
    assert watched.told == []
    module = importlib.import_module("a_library")

    assert watched.told == ["a_library.inner", "a_library"]
    assert module.WHOLE


def test_a_module_looks_as_if_nobody_had_watched(watched: Watched) -> None:
    """Its loader gives its source, its resources and its spec as ever."""
    module = importlib.import_module("a_library.inner")

    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert "exec_module" not in vars(module.__loader__)
    assert "Inner" in inspect.getsource(module)
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    importlib.reload(module)
    assert watched.told.count("a_library.inner") == 2


def test_errors_of_an_import_are_those_of_the_module(watched: Watched) -> None:
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("a_library.broken")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("no_such_module")
    assert "a_library.broken" not in watched.told


def test_what_was_imported_before_is_told_of_at_once(tmp_path: Path, watched: Watched) -> None:
    """A conftest may have imported it before anybody could watch."""
    watched.watch.stop()
    importlib.import_module("a_library")
    assert watched.told == []

    watched.watch.start()

    assert sorted(watched.told) == ["a_library", "a_library.inner"]


def test_the_watch_ends(watched: Watched) -> None:
    watched.watch.stop()

    importlib.import_module("a_library")

    assert watched.told == []
    assert watched.watch not in sys.meta_path

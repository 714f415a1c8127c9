"""The architecture: imports run one way, pytest stays at one edge, and importing the package costs nothing.

Imports are read from the source, at any depth: one inside a function counts like one at the top.
Those under ``if TYPE_CHECKING`` do not, because they are never run.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = "pytest_arena_state"
PACKAGE = ROOT / NAME

# A module, or a sub-package as a whole, imports only from what stands before it.
CORE = (
    "errors",
    "_forks",
    "_garbage",
    "_outside",
    "_text",
    "_times",
    "_wire",
    "messages",
    "capture",  # stands on `messages` alone: whoever has a store to fill may use it, and it knows of none
    "price_file",
    "prices",
    "telemetry",
    "budget",
    "argument_schemas",
    "wanted",
    "expectations",
    "models",
    "trace",
    "document",
    "fingerprints",
    "kept",
    "conversation",
    "store",
    "recorder",
    "observing",
    "redaction",
    "_system",
    "journal",
    "verdict",
    "target",
    "packing",
    "placing",
    "naming",
    "large_media",
    "media_files",
    "staging",
    "reporting",
    "recording",
    "attempts",
    "worker",
    "journal_reading",
    "merge",
    "catalogue",
    "schema",
    "pieces",
    "rates",
    "index",
    "index_reading",
    "cloud",
    "unfinished",
    "stored_run",
    "one_file",
    "stored",
    "loading",
    "reading",
    "repeats",
    "earlier",
    "results",
    "session",
    "recovery",
    "validation",
    "shard_table",
    "shards",
    "summary",
    "termination",
    "trials",
    "compare",
    "fail_on",
    "reporters",
    "github",
    "after_session",
)
# What users start. Each stands on the whole core, imports only to its left, and knows nothing of the other.
COMMAND_EDGE = ("cli", "__main__")
PYTEST_EDGE = ("hookspecs", "_xdist", "_budgets", "_test_hooks", "_junit", "_hooks", "_capturing", "plugin")
EDGES = (COMMAND_EDGE, PYTEST_EDGE)

ONLY_AT_THE_PYTEST_EDGE = {"_pytest", "execnet", "pluggy", "pytest", "xdist"}
FACADE = "__init__"

BELOW = {layer: set(CORE[:place]) for place, layer in enumerate(CORE)}
for _edge in EDGES:
    BELOW |= {layer: {*CORE, *_edge[:place]} for place, layer in enumerate(_edge)}
# It loads what it names on first use, and a name that it imported would be loaded by everyone.
BELOW[FACADE] = set()


def layer_of(dotted: str) -> str:
    """The layer that a module of the package belongs to, from its dotted name."""
    return dotted.split(".")[1] if "." in dotted else FACADE


def dotted_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def statements_that_run(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for otherwise in child.orelse:
                yield otherwise
                yield from statements_that_run(otherwise)
        else:
            yield child
            yield from statements_that_run(child)


def absolute(target: str | None, dots: int, *, package: str) -> str:
    """What ``from ..target import x`` means inside ``package``."""
    if not dots:
        return target or ""
    base = package.split(".")[: len(package.split(".")) - dots + 1]
    return ".".join([*base, target] if target else base)


def imported_names(source: str, *, package: str) -> set[str]:
    """The dotted names of all that a source imports, `importlib.import_module` of a literal included."""
    found = set[str]()
    for node in statements_that_run(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=target, names=names, level=dots):
                base = absolute(target, dots, package=package)
                # From the package itself one imports modules; from a module, its contents.
                found |= {f"{base}.{alias.name}" for alias in names} if base == NAME else {base}
            case ast.Call(
                func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(target)), *_],
            ):
                stem = target.lstrip(".")
                found.add(absolute(stem, len(target) - len(stem), package=package))
    return found


def imported_layers(source: str, *, package: str) -> set[str]:
    """The layers of our own that a source imports from."""
    ours = {name for name in imported_names(source, package=package) if name.split(".")[0] == NAME}
    # `__version__` and its like are constants of the facade and load nothing.
    return {layer_of(name) for name in ours if not name.rpartition(".")[2].startswith("__")}


def package_of(path: Path) -> str:
    return dotted_name(path) if path.name == "__init__.py" else dotted_name(path).rpartition(".")[0]


MODULES = [pytest.param(path, id=dotted_name(path)) for path in sorted(PACKAGE.rglob("*.py"))]
INSIDE = [module for module in MODULES if layer_of(str(module.id)) not in PYTEST_EDGE]


@pytest.mark.parametrize("path", MODULES)
def test_a_module_has_a_place_in_the_table(path: Path) -> None:
    """A module that nobody placed would be free to import anything."""
    assert layer_of(dotted_name(path)) in BELOW


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_only_from_the_layers_below_it(path: Path) -> None:
    layer = layer_of(dotted_name(path))

    imported = imported_layers(path.read_text(encoding="utf-8"), package=package_of(path))

    assert imported - BELOW.get(layer, set()) - {layer} == set()


@pytest.mark.parametrize("path", INSIDE)
def test_only_the_pytest_edge_imports_pytest(path: Path) -> None:
    """The store, the results and the command work where no pytest runs."""
    imported = imported_names(path.read_text(encoding="utf-8"), package=package_of(path))

    assert {name.split(".")[0] for name in imported} & ONLY_AT_THE_PYTEST_EDGE == set()


def test_capture_stands_on_messages_alone() -> None:
    assert BELOW["capture"] == {"errors", "_forks", "_garbage", "_outside", "_text", "_times", "_wire", "messages"}


def test_no_edge_may_import_another() -> None:
    assert all(BELOW[layer].isdisjoint(COMMAND_EDGE) for layer in PYTEST_EDGE)
    assert all(BELOW[layer].isdisjoint(PYTEST_EDGE) for layer in COMMAND_EDGE)


@pytest.mark.parametrize(
    ("source", "layers"),
    [
        ("from pytest_arena_state.store import ArenaStateStore", {"store"}),
        ("from pytest_arena_state import store, merge", {"store", "merge"}),
        ("import pytest_arena_state.journal as j", {"journal"}),
        ("from . import html", {"reporters"}),
        ("from .html import render", {"reporters"}),
        ("from .. import results", {"results"}),
        ("from ..results import load_results", {"results"}),
        ("def late():\n    from ..plugin import x", {"plugin"}),
        ("if TYPE_CHECKING:\n    from ..plugin import x\nelse:\n    from ..merge import y", {"merge"}),
        ("importlib.import_module('pytest_arena_state.cli')", {"cli"}),
        ("import_module('..cli', __package__)", {"cli"}),
        ("from pytest_arena_state import __version__", set()),
        ("import json, pydantic", set()),
    ],
)
def test_every_way_to_import_is_seen(source: str, layers: set[str]) -> None:
    """The tests above are worth what this one shows."""
    assert imported_layers(source, package=f"{NAME}.reporters") == layers


def test_importing_the_package_imports_no_pydantic() -> None:
    """A plugin that is installed and not used must not slow down every pytest run."""
    script = f"import sys, {NAME}; print(*sys.modules)"

    printed = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout

    assert NAME in printed.split()
    assert "pydantic" not in printed.split()


def test_the_public_names_are_sorted_and_all_there() -> None:
    import pytest_arena_state

    names = pytest_arena_state.__all__

    assert list(names) == sorted(names)
    assert [name for name in names if not hasattr(pytest_arena_state, name)] == []
    assert set(names) <= set(dir(pytest_arena_state))


def test_a_name_that_is_not_public_is_not_there() -> None:
    """`hasattr` and `from … import …` must behave as they do for any module."""
    import pytest_arena_state

    assert not hasattr(pytest_arena_state, "no_such_name")

"""The project's frame: what an installer, a reader of the README and pytest itself rely on."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NAME = "pytest-arena-state"
README = ROOT / "README.md"
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")})
PYTHON_BLOCK = re.compile(r"^```(?:python|py)\b[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The `[project]` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def python_blocks(document: Path) -> list[str]:
    return PYTHON_BLOCK.findall(document.read_text(encoding="utf-8"))


def test_there_is_one_version(project: dict[str, Any]) -> None:
    """A report names the version that wrote it, so it must be the one that was installed."""
    import pytest_arena_state

    assert pytest_arena_state.__version__ == project["version"]
    assert metadata.version(NAME) == project["version"]


def test_the_core_needs_four_packages_and_no_more(project: dict[str, Any]) -> None:
    """Whoever installs a pytest plugin did not ask for a stack of SDKs."""
    needed = {re.split(r"[^\w.-]", requirement)[0] for requirement in project["dependencies"]}

    assert needed == {"filelock", "pydantic", "pytest", "pytest-xdist"}


def test_pytest_finds_the_plugin_by_the_name_that_switches_it_off(project: dict[str, Any]) -> None:
    """`-p no:arena_state` is what the documentation tells people who suspect us."""
    assert project["entry-points"] == {"pytest11": {"arena_state": "pytest_arena_state.plugin"}}


def test_the_command_is_installed_under_its_name(project: dict[str, Any]) -> None:
    assert project["scripts"] == {"arena-state": "pytest_arena_state.cli:main"}


def test_the_root_conftest_loads_pytester_and_does_nothing_else() -> None:
    """What stands there runs in every test of the project, and in no user's suite."""
    _docstring, *statements = ast.parse((ROOT / "conftest.py").read_text(encoding="utf-8")).body

    assert [ast.unparse(statement) for statement in statements] == ["pytest_plugins = ['pytester']"]


def test_the_readme_shows_code() -> None:
    """Or the tests below would pass on a README without any."""
    assert python_blocks(README)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_code_in_a_document_compiles(document: Path) -> None:
    for block in python_blocks(document):
        compile(block, str(document), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_imports_only_public_names(document: Path) -> None:
    """A name that the README imports is one that people will import."""
    import pytest_arena_state

    imported = {
        alias.name
        for block in python_blocks(document)
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.ImportFrom) and node.module == "pytest_arena_state"
        for alias in node.names
    }

    assert imported <= {*pytest_arena_state.__all__, "__version__"}


def test_constructors_are_typed_without_a_plugin_of_the_type_checker(tmp_path: Path) -> None:
    """Most users have none, and some another checker."""
    source = tmp_path / "user.py"
    source.write_text(
        "from pytest_arena_state import ConversationState, CostInfo, Message, RunMetadata\n"
        "message = Message(role='user', content='hello', cost_info=CostInfo(input_tokens=3))\n"
        "state = ConversationState(id='a', messages=[message])\n"
        "metadata = RunMetadata(run_id='a', labels={'tier': 'critical'})\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(source)]

    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout

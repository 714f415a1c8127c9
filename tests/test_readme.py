"""The documents are true: their code runs, their output is what is printed, and what they name exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import EVENTS, MODES
from pytest_arena_state import (
    ArenaRun,
    ArenaStateStore,
    Completeness,
    ConversationState,
    CostInfo,
    Feedback,
    Index,
    IndexRow,
    MediaContent,
    MediaOutput,
    Message,
    RunMetadata,
    RunResult,
    Summary,
    ToolCall,
    ToolResult,
    cli,
    hookspecs,
    plugin,
)
from pytest_arena_state.expectations import Expectations

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FORMAT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DOCUMENTS = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")})

EXAMPLE = "test_refund.py"


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def shell_lines(text: str) -> list[str]:
    """What a document tells people to type."""
    return [line for block in blocks(text, "sh") for line in block.splitlines()]


def files(text: str) -> dict[str, str]:
    """The Python blocks by the names in their first lines."""
    named = {}
    for block in blocks(text, "python"):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name is not None, f"a block of Python begins with its file's name: {block[:60]!r}"
        assert name[1] not in named
        named[name[1]] = block
    return named


def printed_lines(text: str) -> list[str]:
    """The plugin's lines on the terminal, as a document shows them."""
    return [line for block in blocks(text, "text") for line in block.splitlines() if line.startswith("arena: ")]


def arguments_after_pytest(line: str) -> list[str]:
    """The arguments of a command that runs pytest."""
    words = shlex.split(line)
    return words[len(words) - words[::-1].index("pytest") :]


class Reader:
    """Somebody who copies from the README into a folder of their own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path

    def copy(self, *names: str) -> None:
        """Copy these blocks into the files that they name."""
        for name in names:
            (self.path / name).write_text(files(README)[name], encoding="utf-8")

    def type(self, line: str) -> pytest.RunResult:
        """Run a line that runs pytest."""
        return self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments_after_pytest(line))

    def run_script(self, name: str) -> str:
        """Run a copied block with Python, and return what it prints."""
        return subprocess.run(
            [sys.executable, name], cwd=self.path, check=True, capture_output=True, text=True, encoding="utf-8"
        ).stdout


@pytest.fixture
def reader(pytester: pytest.Pytester) -> Reader:
    """Somebody who reads the README."""
    return Reader(pytester)


# --- what is shown is what happens ---------------------------------------------------------


def test_the_first_example_prints_and_leaves_what_the_readme_shows(reader: Reader) -> None:
    """The first thing that anybody tries."""
    shown_files = next(block for block in blocks(README, "text") if block.startswith("arena-results/"))
    excerpt = blocks(README, "json")[0].splitlines()
    reader.copy(EXAMPLE)

    result = reader.type(shell_lines(README)[0])

    result.assert_outcomes(passed=1)
    assert printed_lines(README)[0] in result.outlines
    left = sorted((reader.path / "arena-results").iterdir())
    assert shown_files.splitlines() == [f"arena-results/{path.name}" for path in left]
    report = (reader.path / "arena-results" / "refund-1.json").read_text(encoding="utf-8").splitlines()
    assert [line for line in report if line in excerpt] == excerpt


def test_the_examples_print_what_the_readme_shows(pytester: pytest.Pytester) -> None:
    """The main job on a fresh machine, without the installation."""
    (command,) = [line for line in shell_lines(README) if "pytest examples " in line]
    kept_out = shutil.ignore_patterns("__pycache__", "arena-results*")
    shutil.copytree(ROOT / "examples", pytester.path / "examples", ignore=kept_out)

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments_after_pytest(command))

    assert result.ret == 0
    assert printed_lines(README)[1] in result.outlines
    assert (pytester.path / "arena-results" / "index.json").exists()


def test_every_test_in_the_readme_passes(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together, with the hooks; then the results are read back as the README says."""
    tests = [name for name in files(README) if name.startswith("test_")]
    monkeypatch.setenv("GITHUB_SHA", "0123456789abcdef")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(reader.path / "summary.md"))
    reader.copy(*tests, "conftest.py", "read_back.py")

    result = reader.pytester.runpytest_subprocess("--strict-markers", "--arena-results=arena-results")
    said = reader.run_script("read_back.py")

    result.assert_outcomes(passed=len(tests))
    (line,) = [line for line in result.outlines if line.startswith("arena:")]
    assert line.startswith("arena: 6 runs (5 passed, 1 failed)")
    assert "1 failed by its checks alone" in line
    assert (reader.path / "summary.md").read_text(encoding="utf-8") == "6 conversations, 5 passed, $0.00\n"
    assert "refund-1 0.0004 Of course. Within 30 days.\n" in said
    assert said.endswith("5 of 6 passed, 0 lost\n")
    report = next((reader.path / "arena-results").glob("test_return.py-*.json")).read_text(encoding="utf-8")
    assert '"commit":"0123456789ab"' in report
    assert "customer-7" not in report
    assert "customer-?" in report


def test_a_failed_expectation_shows_what_the_readme_shows(reader: Reader) -> None:
    (shown,) = [block for block in blocks(README, "text") if block.startswith("expected a call of refund")]
    reader.copy("test_expected.py")
    test = reader.path / "test_expected.py"
    wanted = '    arena_run.called("refund", {"amount_usd": 13})\n'
    test.write_text(test.read_text(encoding="utf-8") + wanted, encoding="utf-8")

    result = reader.pytester.runpytest_subprocess()

    result.assert_outcomes(failed=1)
    said = [line.removeprefix("E").removeprefix("       ").removeprefix("AssertionError: ") for line in result.outlines]
    assert [line.strip() for line in shown.splitlines()] == [
        line.strip() for line in said if line.strip() and line.strip() in shown
    ]


def test_the_store_works_without_pytest_as_the_readme_says(reader: Reader) -> None:
    reader.copy("without_pytest.py")

    reader.run_script("without_pytest.py")

    run = RunResult.from_json((reader.path / "refund-1.json").read_text(encoding="utf-8"))
    assert [message.text for message in run.messages] == ["I want my money back", "Of course. Within 30 days."]
    assert run.cost.total_cost_usd == 0.0004


def test_large_media_are_found_as_the_readme_says(reader: Reader) -> None:
    reader.copy("look.py")
    reader.pytester.makepyfile(
        """
        from pytest_arena_state import ContentPart

        def test_it(arena_run):
            arena_run.user("", parts=[ContentPart.from_bytes(b"large" * 100_000)])
        """
    )

    reader.pytester.runpytest_subprocess("--arena-results=arena-results").assert_outcomes(passed=1)

    assert reader.run_script("look.py").endswith(" application/octet-stream 500000\n")


def test_every_block_of_python_is_run_above() -> None:
    """A block that nobody runs will be wrong one day."""
    scripts = {name for name in files(README) if not name.startswith("test_")}

    assert scripts == {"conftest.py", "look.py", "read_back.py", "without_pytest.py"}


@pytest.mark.parametrize(
    "snippet", "".join(blocks(README, "py")).split("\n\n"), ids=lambda text: text.split("\n")[0][2:]
)
def test_the_lines_for_a_library_are_those_of_its_example(snippet: str) -> None:
    """Which are run wherever the library is installed."""
    name, *shown = snippet.strip().splitlines()
    example = (ROOT / "examples" / "libraries" / name.removeprefix("# ")).read_text(encoding="utf-8")

    lines = iter(line.strip() for line in example.splitlines())

    assert len(shown) == 3
    assert [line for line in shown if line not in lines] == []  # each after the one before


def test_there_are_lines_for_every_library() -> None:
    named = set(re.findall(r"^# (test_\w+\.py)$", "".join(blocks(README, "py")), re.MULTILINE))

    assert named == {path.name for path in (ROOT / "examples" / "libraries").glob("test_*.py")}


def test_the_table_of_what_survives_is_full() -> None:
    """A table that shows a loss is not one to print and forget."""
    (table,) = [block for block in blocks(README, "text") if block.startswith("event ")]
    (_, *modes), *rows = [re.split(" {2,}", line) for line in table.splitlines()]

    assert modes == list(MODES)
    assert [event for event, *_ in rows] == list(EVENTS)
    for event, *cells in rows:
        for kept, saved in (map(int, cell.split("/")) for cell in cells if cell != "-"):
            # What a disk does not take cannot be in a report. It is in the summary and in the index.
            assert kept == saved or (event.endswith("named") and 0 < kept < saved)


# --- commands ------------------------------------------------------------------------------


def test_the_commands_of_a_fresh_machine_are_those_of_ci() -> None:
    """Three places tell people how to run the tests, and all must work."""
    install, run = shell_lines(CONTRIBUTING)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    assert f"python3 -m venv .venv && .venv/bin/{install} && .venv/bin/{run}" in shell_lines(README)
    assert run in ci
    assert install.removeprefix("pip install ") in ci


def test_the_main_job_is_one_command_and_the_one_that_ci_runs() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (command,) = [line for line in shell_lines(README) if "pytest examples " in line]

    job = command.rpartition(".venv/bin/")[2]

    assert command == f"python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/{job}"
    assert f"- run: {job}\n" in workflow
    assert job in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")


def test_the_results_are_uploaded_where_pytest_writes_them() -> None:
    for snippet in blocks(README, "yaml"):
        (path,) = re.findall(r"--arena-results=(\S+)", snippet)
        lines = [line.strip(" -") for line in snippet.splitlines()]
        assert {path, f"{path}.journals"} <= set(lines)
        assert "always" in snippet


COMMANDS = sorted(
    {
        line
        for document in DOCUMENTS
        for line in shell_lines(document.read_text(encoding="utf-8"))
        if line.startswith("arena-state ")
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_a_document_shows_exists(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, verb, *arguments = shlex.split(line)

    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])

    assert ended.value.code == 0
    help_text = capsys.readouterr().out
    assert [word for word in arguments if word.startswith("-") and word not in help_text] == []


# --- what there is is documented, and the other way round ------------------------------------


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Options, ini values and fixtures, as pytest itself lists them to users."""

    def ask(option: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "arena_state", option]
        folder = tmp_path_factory.mktemp("asking")
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False).stdout

    help_text = ask("--help")
    return {
        "options": set(re.findall(r"^ +(--arena-[\w-]+)", help_text, re.MULTILINE)),
        "ini values": set(re.findall(r"^ +(arena_\w+) \(", help_text, re.MULTILINE)),
        "fixtures": set(re.findall(r"^(arena_\w+)", ask("--fixtures"), re.MULTILINE)),
        "hooks": {name for name in vars(hookspecs) if name.startswith("pytest_arena_")},
    }


@pytest.mark.parametrize("kind", ["options", "ini values", "fixtures", "hooks"])
def test_whatever_pytest_offers_is_in_the_readme(offered: dict[str, set[str]], kind: str) -> None:
    assert offered[kind]
    assert {name for name in offered[kind] if not re.search(rf"(?<![\w-]){name}(?![\w-])", README)} == set()


def test_every_option_in_a_document_exists(offered: dict[str, set[str]]) -> None:
    for document in DOCUMENTS:
        named = set(re.findall(r"--arena-[\w-]+", document.read_text(encoding="utf-8")))
        assert named - offered["options"] == set(), document.name


def test_every_name_of_ours_in_the_readme_exists(offered: dict[str, set[str]]) -> None:
    hooks = set(re.findall(r"\bpytest_arena_(?!state\b)\w+", README))
    others = set(re.findall(r"(?<![\w/-])arena_\w+", README))

    assert hooks - offered["hooks"] == set()
    assert others - offered["ini values"] - offered["fixtures"] - {"arena_state"} == set()  # the entry point's name


def test_the_table_of_options_has_them_all(offered: dict[str, set[str]]) -> None:
    rows = "\n".join(line for line in README.splitlines() if line.startswith(("| `--arena", "| ini `")))

    assert set(re.findall(r"`(--arena-[\w-]+)", rows)) == offered["options"]
    assert set(re.findall(r"^\| ini `(\w+)`", rows, re.MULTILINE)) == offered["ini values"]


def test_every_keyword_of_the_marker_that_the_readme_names_exists() -> None:
    (section,) = re.findall(r"^### The marker `arena`\n(.*?)^###", README, re.DOTALL | re.MULTILINE)
    in_code = set(re.findall(r"`(\w+)`", section)) - {"RunMetadata"}
    in_calls = {name for call in re.findall(r"mark\.arena\(([^)]*)\)", README) for name in re.findall(r"(\w+)=", call)}

    assert in_code
    assert (in_code | in_calls) - plugin.MARKER_KEYWORDS == set()


def methods_of(owner: type) -> set[str]:
    return {name for name in vars(owner) if not name.startswith("_")}


@pytest.mark.parametrize("owner", [ArenaRun, ArenaStateStore, Expectations])
def test_every_method_is_in_the_readme(owner: type) -> None:
    assert {name for name in methods_of(owner) if not re.search(rf"(?<!\w){name}\b", README)} == set()


def test_the_long_example_uses_every_method_of_a_run() -> None:
    used = set(re.findall(r"arena_run\.(\w+)", files(README)["test_return.py"]))

    assert used == methods_of(ArenaRun) - {"id", "add"}  # which has an example of its own


# --- the format and the map ------------------------------------------------------------------


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    level = heading.partition(" ")[0]
    rest = text.partition(f"\n{heading}\n")[2]
    assert rest, f"no {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def names_in_code(text: str) -> set[str]:
    return {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"\w+", code)}


def wire_names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.serialization_alias or name


FIELDS = [
    ("## The report of a run", RunResult),
    ("### Cost", CostInfo),
    ("### Media outputs", MediaOutput),
    ("### Feedback", Feedback),
    ("## Messages", Message),
    ("## Messages", MediaContent),
    ("## Messages", ToolCall),
    ("## Messages", ToolResult),
    ("## Run metadata", RunMetadata),
    ("## Conversations", ConversationState),
    ("## Conversations", Summary),
    ("## The index", Index),
    ("## The index", IndexRow),
    ("## The index", Completeness),
]


@pytest.mark.parametrize(("heading", "model"), FIELDS, ids=lambda value: getattr(value, "__name__", None))
def test_every_field_is_in_the_document_of_the_format(heading: str, model: type[BaseModel]) -> None:
    """A reader of a file finds every key that it may hold."""
    documented = names_in_code(section(FORMAT, heading))

    assert [name for name in wire_names(model) if name not in documented] == []


def test_the_fields_of_a_report_are_in_the_order_in_which_they_are_written() -> None:
    rows = section(FORMAT, "## The report of a run").splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("| `")]
    documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]

    assert documented == list(wire_names(RunResult))


def test_every_module_is_on_the_map() -> None:
    package = ROOT / "pytest_arena_state"
    modules = {path.stem for path in package.glob("*.py")}
    packages = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}

    assert {name for name in modules | packages if f"`{name}`" not in ARCHITECTURE} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = document.parent / path if path else document
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}

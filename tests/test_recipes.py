"""The recipes of docs/ci.md: YAML that the systems take, and command lines that do what the text says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
RECIPES = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^`([^`]+)`:\n\n```yaml\n(.*?)^```", RECIPES, re.M | re.S)
YAMLS = dict(BLOCKS)
SCHEMAS = {".github/workflows/conversations.yml": "github-workflows", ".gitlab-ci.yml": "gitlab-ci"}

SUITE = """
import os
import pytest
from pytest_arena_state import CostInfo

PROVIDER = os.environ["PROVIDER"]

@pytest.mark.parametrize("scenario", ["refund", "parcel"])
def test_it(arena_run, scenario):
    arena_run.param("scenario", scenario)
    arena_run.user("hello")
    arena_run.assistant("hi", cost=CostInfo(total_cost_usd=0.01, provider_name=PROVIDER))
    assert not (os.environ.get("BROKEN") and scenario == "refund")
"""
# What stands outside a recipe: an installation, the API of GitHub, the network.
STANDINS = {
    "pip": "exit 0",
    "gh": """
        case "$1 $2" in
            "run list") echo 7 ;;
            "run download") test -d "$ARTIFACTS/$5" && cp -r "$ARTIFACTS/$5" "$7" ;;
            "pr comment") echo "$@" >> comments; case "$*" in *--edit-last*) exit 1 ;; esac ;;
        esac""",
    "curl": """
        case "$*" in
            *notes*) cp comparison.md comments ;;
            *) test -e "$ARTIFACTS/main.zip" && cp "$ARTIFACTS/main.zip" main.zip ;;
        esac""",
}

posix = pytest.mark.skipif(os.name != "posix" or shutil.which("bash") is None, reason="the recipes are for bash")


def test_every_recipe_is_known_here() -> None:
    assert set(YAMLS) == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_system_takes_the_yaml(name: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yml"
    path.write_text(YAMLS[name], encoding="utf-8")

    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{SCHEMAS[name]}", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


class Machine:
    """Where the jobs of a recipe run, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.artifacts = path / "artifacts"
        self.artifacts.mkdir()
        standins = path / "bin"
        standins.mkdir()
        for name, body in STANDINS.items():
            file = standins / name
            file.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
            file.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "GITHUB_", "CI"))}
        here = [str(standins), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.env = {**kept, "PATH": os.pathsep.join(here), "ARTIFACTS": str(self.artifacts), "HOME": str(path)}

    def folder(self, name: str) -> Path:
        """A checkout."""
        folder = self.path / name
        folder.mkdir()
        (folder / "test_shop.py").write_text(SUITE, encoding="utf-8")
        return folder

    def run(self, script: str, folder: Path, **env: str) -> int:
        """Run a step as the runners do: with bash, until something fails."""
        with (folder / "out.txt").open("a") as out:
            ended = subprocess.run(
                ["bash", "-e", "-o", "pipefail", "-c", script],
                cwd=folder,
                env={**self.env, **env},
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return ended.returncode


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def recipe(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = YAML(typ="safe").load(YAMLS[name])
    return parsed


def run_github(machine: Machine, name: str, **env: str) -> tuple[Path, dict[str, int]]:
    """The jobs of the workflow; of what they exit with, by the name of the step."""
    jobs = recipe(".github/workflows/conversations.yml")["jobs"]
    report = machine.folder(name)
    for provider in jobs["tests"]["strategy"]["matrix"]["provider"]:
        folder = machine.folder(f"{name}-{provider}")
        for step in jobs["tests"]["steps"]:
            if "run" in step:
                machine.run(step["run"].replace("-n 2", "-p no:xdist"), folder, PROVIDER=provider, **env)
        shard = report / "shards" / f"shard-{provider}"
        shutil.copytree(folder / "arena-results", shard / "arena-results")
    statuses = {}
    for step in jobs["report"]["steps"]:
        if "run" in step:
            script = step["run"].replace("${{ github.event.number }}", "12")
            assert "${{" not in script
            statuses[step.get("name", "")] = machine.run(script, report)
    return report, statuses


@posix
def test_the_workflow_merges_reports_compares_and_comments(machine: Machine) -> None:
    """First on main, where there is nothing to compare with; then with a change that breaks something."""
    main, statuses = run_github(machine, "on-main")

    assert set(statuses.values()) == {0}
    assert json.loads((main / "arena-results" / "index.json").read_bytes())["total_runs"] == 4
    assert "<html" in (main / "arena.html").read_text(encoding="utf-8")
    assert not (main / "comments").exists()

    artifact = machine.artifacts / "arena"
    artifact.mkdir()
    for result in ("arena-results", "arena.html"):
        shutil.move(main / result, artifact / result)
    change, statuses = run_github(machine, "change", BROKEN="1")

    assert statuses.pop("Compare") == 1
    assert set(statuses.values()) == {0}
    assert "2 new failures" in (change / "comparison.md").read_text(encoding="utf-8").lower()
    assert (change / "comments").read_text(encoding="utf-8").splitlines() == [
        "pr comment 12 --edit-last --body-file comparison.md",
        "pr comment 12 --body-file comparison.md",
    ]


def run_gitlab(machine: Machine, name: str, **env: str) -> tuple[Path, int]:
    """The jobs of the pipeline; what the last one exits with."""
    jobs = recipe(".gitlab-ci.yml")
    report = machine.folder(name)
    for provider in jobs["tests"]["parallel"]["matrix"][0]["PROVIDER"]:
        script = "\n".join(jobs["tests"]["script"]).replace("-n 2", "-p no:xdist")
        machine.run(script, report, PROVIDER=provider, **env)
        assert (report / "junit.xml").exists()
    return report, machine.run("\n".join(jobs["report"]["script"]), report, **env)


@posix
def test_the_pipeline_merges_reports_compares_and_comments(machine: Machine) -> None:
    main, status = run_gitlab(machine, "on-main")

    assert status == 0
    assert json.loads((main / "arena-results" / "index.json").read_bytes())["total_runs"] == 4
    assert "<html" in (main / "arena.html").read_text(encoding="utf-8")

    with zipfile.ZipFile(machine.artifacts / "main.zip", "w") as archive:
        for path in (main / "arena-results").rglob("*"):
            archive.write(path, path.relative_to(main))
    change, status = run_gitlab(machine, "change", BROKEN="1", CI_MERGE_REQUEST_IID="12")

    assert status == 1
    assert "2 new failures" in (change / "comments").read_text(encoding="utf-8").lower()
    assert (change / "comments").read_bytes() == (change / "comparison.md").read_bytes()


@posix
def test_the_commands_for_other_systems_do_what_they_say(machine: Machine) -> None:
    [script] = re.findall(r"^## Other systems\n.*?^```sh\n(.*?)^```", RECIPES, re.M | re.S)
    folder = machine.folder("elsewhere")

    assert machine.run("pytest --arena-results=last/arena-results", folder, PROVIDER="gpt") == 0
    assert machine.run(script.replace("-n 2", "-p no:xdist"), folder, PROVIDER="gpt") == 0

    made = {path.name for path in folder.iterdir()}
    assert {"arena-results", "arena.html", "junit.xml", "runs.csv", "comparison.json"} <= made

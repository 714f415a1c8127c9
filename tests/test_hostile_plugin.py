"""Whatever a suite saves, and whatever its tests are called: same outcomes, no run lost, what is odd is named."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_arena_state.cli import main as arena_state
from pytest_arena_state.validation import validate

if TYPE_CHECKING:
    from tests.conftest import Suite

STEM = re.compile(r"[A-Za-z0-9._\-=+,@~]{1,200}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

#: Texts that break programs which trust them.
TEXTS = {
    "traversal": "../../etc/hosts",
    "absolute": "/etc/hosts",
    "windows path": "C:\\windows\\system32",
    "index": "index",
    "device": "CON",
    "device with extension": "nul.txt",
    "upper case": "SAME",
    "lower case": "same",
    "composed": "gr\u00fc\u00dfe",
    "decomposed": "gru\u0308\u00dfe",
    "trailing dots": "name...",
    "trailing space": "name ",
    "hidden": ".name",
    "option": "--help",
    "long": "n" * 5_000,
    "long with another end": "n" * 4_999 + "m",
    "newline": "two\nlines",
    "carriage return": "two\rlines",
    "line separator": "two\u2028lines",
    "nul": "n\0l",
    "escape": "\x1b[31mred",
    "title": "\x1b]0;title\x07",
    "one character of escape": "\x9b31m",
    "right to left": "\u202egnp.exe",
    "byte order mark": "\ufeffname",
    "no character": "\uffff",
    "beyond the basic plane": "\U0001f600\U0010ffff",
    "lone surrogate": "lone \ud800",
    "quotes": "\"'`$(touch outside);&|<>",
    "format": "%s {0} %2e%2e%2f",
    "separators": "a::b[c]-d@e",
}


def written(text: str) -> str:
    """How a text is in a file, where no lone surrogate can be."""
    return re.sub(r"[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def run_as_without(suite: Suite, *args: str, to: str = "arena-results") -> pytest.RunResult:
    """Run a suite with results: it must end as it does without, leave valid files, and print nothing raw."""
    suite.load(xdist="no:xdist" not in args)
    without = suite.pytester.runpytest_subprocess("-W", "error", *args)

    result = suite.run_apart("-W", "error", *args, to=to)

    assert result.ret == without.ret
    assert result.parseoutcomes() == without.parseoutcomes()
    assert [finding for finding in validate(suite.path / to) if finding.problem] == []
    assert [line for line in suite.lines(result) if CONTROL.search(line)] == []
    return result


def troubles(suite: Suite) -> list[str]:
    found: dict[str, int] = suite.index["completeness"]["troubles"]
    return list(found)


# --- names -----------------------------------------------------------------------------------


def test_names_of_tests(suite: Suite, run_args: list[str]) -> None:
    """The run of a test is named after its node id, and that holds whatever a parameter holds."""
    suite.write(
        f"""
import pytest
TEXTS = {TEXTS!r}

@pytest.mark.parametrize("name", TEXTS, ids=TEXTS.values())
def test_it(arena_run, name):
    arena_run.user(name)
"""
    )

    run_as_without(suite, *run_args)

    runs = suite.runs()
    assert sorted(run.messages[0].content for run in runs) == sorted(TEXTS)
    assert all(run.run_id == run.labels["pytest.nodeid"] for run in runs)
    assert len({run.run_id for run in runs}) == len(TEXTS)
    check_names_of_files(suite.results, len(TEXTS))


def check_names_of_files(results: Path, runs: int) -> None:
    """One file for each run and the index, with names for every file system and every artifact store."""
    names = [path.relative_to(results).as_posix() for path in results.rglob("*")]
    assert len({name.lower() for name in names}) == runs + 1
    assert [name for name in names if not STEM.fullmatch(name) or name.startswith(".")] == []


def test_texts_everywhere_else(suite: Suite, run_args: list[str]) -> None:
    """Ids, labels, tags and parameters come from models and from the web; each comes back as it was."""
    suite.write(
        f"""
import pytest
TEXTS = {TEXTS!r}
IDS = { ({name: written(text) for name, text in TEXTS.items()})!r}

@pytest.mark.parametrize("name", TEXTS)
def test_it(arena_store, arena_run, name):
    id, text = IDS[name], TEXTS[name]
    arena_store.save({{"id": id, "user_id": text, "system_prompt": text, "metadata": {{text: text}}, "messages": [
        {{"role": "assistant", "content": text, "meta": {{text: [text]}}, "finish_reason": text,
          "tool_calls": [{{"id": text, "name": text, "args": {{text: text}}}}],
          "validations": [{{"validator_type": text, "passed": False, "details": {{text: text}}}}]}}]}})
    arena_store.save_metadata(id, {{
        "scenario_id": text, "provider_id": text, "region": text, "prompt_pack": text, "persona_id": text,
        "labels": {{text: text}}, "session_tags": [text], "params": {{text: text, "name": name}}, "error": text}})
    arena_run.label(text, text)
    arena_run.param(text, text)
    arena_run.tag(text)
    arena_run.check(text, False, details={{text: text}})
    arena_run.tool_result(arena_run.tool_call(text, {{text: text}}), text, error=text)
    arena_run.validate(text, passed=False)
    arena_run.feedback(1, text, categories={{text: text}})
"""
    )

    run_as_without(suite, *run_args)

    runs = {run.params["name"]: run for run in suite.runs() if "name" in run.params}
    assert {name: run.run_id for name, run in runs.items()} == {name: written(text) for name, text in TEXTS.items()}
    for name, run in runs.items():
        text = written(TEXTS[name])
        (message,) = run.messages
        assert (run.scenario_id, run.provider_id, run.region, run.prompt_pack, run.persona_id) == (text,) * 5
        assert (run.labels[text], run.session_tags, run.params[text], run.error) == (text, [text], text, text)
        assert (message.content, message.meta, message.finish_reason) == (text, {text: [text]}, text)
        (call,) = message.tool_calls
        assert (call.id, call.name, call.args) == (text, text, {text: text})
    for run in suite.runs():
        if run.run_id.startswith("test_suite.py::"):
            text = written(TEXTS[run.run_id.partition("[")[2].removesuffix("]")])
            assert (run.labels[text], run.params[text], run.session_tags) == (text, text, [text])
            assert run.messages[1].content == text
    check_names_of_files(suite.results, 2 * len(TEXTS))


@pytest.mark.parametrize("to", ["\x1b[31mout", "out\u202e", "o ut", "\u00fcber", "a/b/c/out", "out.jsonl\x07.jsonl"])
def test_a_path_of_the_results_is_printed_without_its_escapes(suite: Suite, to: str) -> None:
    suite.write("def test_it(arena_run): arena_run.user('hello')")

    result = run_as_without(suite, "-p", "no:xdist", to=to)

    (line,) = suite.lines(result)
    assert "1 run (1 passed)" in line
    assert "\x1b" not in result.stdout.str().partition("arena: ")[2]


def test_keys_that_are_named_in_the_summary_are_printed_without_their_escapes(suite: Suite) -> None:
    suite.write(
        r"""
def test_it(arena_run):
    arena_run.user("hello")
    arena_run.param("\x1b[31mred\x07\u202e\n", object())
"""
    )

    result = run_as_without(suite, "-p", "no:xdist")

    _first, line = suite.lines(result)
    assert line.startswith("arena: metadata.params.")
    assert "a object is not JSON, kept as text" in line


def test_what_a_test_failed_with_is_in_its_run_and_not_on_our_lines(suite: Suite, run_args: list[str]) -> None:
    texts = ["\x1b[31mred\x1b[0m", "n\0l", "x" * 1_000_000, "two\nlines"]
    if run_args != ["-n2"]:
        texts.append("lone \ud800")  # no worker of xdist can report it: the session ends with an internal error
    suite.write(
        f"""
import pytest

@pytest.mark.parametrize("text", {texts!r})
@pytest.mark.parametrize("kind", [AssertionError, ValueError, pytest.fail.Exception, pytest.skip.Exception])
def test_it(arena_run, text, kind):
    arena_run.user("hello")
    raise kind(text)
"""
    )

    result = run_as_without(suite, *run_args, "--tb=no", "-q")

    result.assert_outcomes(failed=3 * len(texts), skipped=len(texts))
    assert suite.index["total_runs"] == 4 * len(texts)
    for run in suite.runs():
        (verdict,) = run.conversation_assertions.results
        assert verdict.type == "pytest.outcome"
        assert 0 < len(verdict.message) < 5_000
        assert len(run.error) < 5_000


# --- objects ---------------------------------------------------------------------------------

ODD = r'''
import array, collections, dataclasses, datetime, decimal, enum, functools, io, pathlib, sys, threading, types, uuid
import weakref
from unittest import mock
import pydantic, pytest

def raising(error):
    def method(self, *args, **kwargs):
        raise error
    return method

def odd(**methods):
    return type("Odd", (), methods)()

class Colour(enum.Enum):
    RED = object()

class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True, extra="allow")
    name: str = "Ada"
    inner: object = None

@dataclasses.dataclass
class Data:
    inner: object = dataclasses.field(default_factory=object)

class Text(str):
    __str__ = __repr__ = __hash__ = __eq__ = raising(RuntimeError("no"))

class Number(int):
    __int__ = __index__ = __repr__ = raising(RuntimeError("no"))

class Map(collections.abc.Mapping):
    __getitem__ = __iter__ = __len__ = raising(RuntimeError("no"))

class Endless(dict):
    def items(self):
        raise RuntimeError("no")

class Numpy:
    """As numpy's scalars and arrays are seen from outside, without the package."""
    __module__ = "numpy"
    def __init__(self, value): self.value = value
    def tolist(self): return self.value() if callable(self.value) else self.value
    def __eq__(self, other): raise ValueError("the truth value of an array is ambiguous")
    __hash__ = None

def deep(levels, make):
    value = "bottom"
    for _ in range(levels):
        value = make(value)
    return value

cyclic_list = []; cyclic_list.append(cyclic_list)
cyclic_dict = {}; cyclic_dict["self"] = [cyclic_dict]
cyclic_model = Model(); cyclic_model.inner = [cyclic_model]
cyclic_array = Numpy(lambda: cyclic_array)

#: What no JSON can hold, made anew for each use.
ODD = {
    "object": lambda: object(),
    "repr raises": lambda: odd(__repr__=raising(RuntimeError("no"))),
    "repr exits": lambda: odd(__repr__=raising(ZeroDivisionError())),
    "repr is no text": lambda: odd(__repr__=lambda self: 3),
    "repr is long": lambda: odd(__repr__=lambda self: "x" * 10_000_000),
    "repr has escapes": lambda: odd(__repr__=lambda self: "\x1b[31m\0\ud800"),
    "class raises": lambda: odd(__class__=property(raising(RuntimeError("no")))),
    "attributes raise": lambda: odd(__getattr__=raising(RuntimeError("no"))),
    "attributes without end": lambda: mock.MagicMock(),
    "says that it is a dict": lambda: mock.MagicMock(spec=dict),
    "says that it is a text": lambda: mock.Mock(spec=str),
    "comparison raises": lambda: odd(__eq__=raising(RuntimeError("no")), __hash__=None),
    "never equal to itself": lambda: odd(__eq__=lambda self, other: False, __hash__=None),
    "truth raises": lambda: odd(__bool__=raising(RuntimeError("no"))),
    "copy raises": lambda: odd(__deepcopy__=raising(RuntimeError("no")), __reduce_ex__=raising(RuntimeError("no"))),
    "text of another kind": lambda: Text("text"),
    "number of another kind": lambda: Number(3),
    "map that raises": lambda: Map(),
    "dict that raises": lambda: Endless(a=1),
    "enum of an object": lambda: Colour.RED,
    "model": lambda: Model(inner=object(), further=object()),
    "dataclass": lambda: Data(),
    "dataclass without its field": lambda: Data.__new__(Data),
    "lock": lambda: threading.Lock(),
    "module": lambda: sys,
    "class": lambda: Model,
    "function": lambda: raising,
    "partial": lambda: functools.partial(int, base=2),
    "weak reference": lambda: weakref.ref(Model),
    "simple namespace": lambda: types.SimpleNamespace(a=1),
    "integer of 5,000 digits": lambda: 10 ** 5_000,
    "not a number": lambda: float("nan"),
    "infinity": lambda: [float("inf"), -float("inf")],
    "decimal that is no number": lambda: decimal.Decimal("sNaN"),
    "keys that are no text": lambda: {1: 1, None: 2, (1, 2): 3, Data: 4, 1.5: 5, b"x": 6},
    "keys with one text": lambda: {1: 1, "1": 2},
    "set of everything": lambda: {1, "1", None, (2, 3), frozenset({4})},
    "bytes": lambda: [b"\xff\0", bytearray(b"\xfe"), memoryview(b"\xfd")],
    "strided memory": lambda: memoryview(b"abcd")[::2],
    "array": lambda: array.array("d", [1.5]),
    "times": lambda: [datetime.datetime.max, datetime.date.min, datetime.time(), datetime.timedelta.max],
    "exception": lambda: ValueError(odd(__repr__=raising(RuntimeError("no")))),
    "traceback": lambda: sys.exc_info(),
    "path with a surrogate": lambda: pathlib.Path("\udcff"),
    "numpy scalar": lambda: Numpy(3),
    "numpy array": lambda: Numpy([[1, 2], [3, 4]]),
    "numpy array that raises": lambda: Numpy(raising(RuntimeError("no"))),
    "3,000 lists": lambda: deep(3_000, lambda value: [value]),
    "3,000 dicts": lambda: deep(3_000, lambda value: {"k": value}),
    "3,000 models": lambda: deep(3_000, lambda value: Model.model_construct(inner=value)),
    "list of itself": lambda: cyclic_list,
    "dict of itself": lambda: cyclic_dict,
    "model of itself": lambda: cyclic_model,
    "array of itself": lambda: cyclic_array,
    "lists that share": lambda: deep(60, lambda value: [value]),
}

#: What is read only once: nothing may be read of it.
ONCE = {
    "generator": lambda: (n for n in range(3)),
    "iterator": lambda: iter([0, 1, 2]),
    "map": lambda: map(int, "012"),
    "zip": lambda: zip("012", "345"),
    "file": lambda: io.StringIO("012"),
    "open file": lambda: open(__file__, "rb"),
}
'''


def test_an_odd_value_costs_itself_alone(suite: Suite, run_args: list[str]) -> None:
    """In each place that takes any value; what stands beside it is in the report, and the run is."""
    suite.write(
        ODD
        + r"""
@pytest.mark.parametrize("name", ODD)
def test_it(arena_store, arena_run, name):
    make = ODD[name]
    for _ in range(2):  # a second save compares the value with that of the first
        arena_store.save({"id": name, "metadata": {"odd": make(), "plain": "kept"}, "messages": [
            {"role": "user", "content": "hello", "meta": {"odd": make(), "plain": "kept"},
             "tool_calls": [{"id": "1", "name": "f", "args": {"odd": make(), "plain": "kept"}}],
             "validations": [{"validator_type": "v", "details": {"odd": make(), "plain": "kept"}}]}]})
        arena_store.save_metadata(name, {"params": {"odd": make(), "plain": "kept"}, "commit": {"plain": "kept"}})
    arena_store.set_trial_results(name, [make(), "kept"])
    arena_run.user(name)
    arena_run.assistant("hi", meta={"odd": make(), "plain": "kept"})
    call = arena_run.tool_call("f", {"odd": make(), "plain": "kept"})
    arena_run.tool_result(call, [make(), "kept"])
    arena_run.validate("v", passed=True, details={"odd": make(), "plain": "kept"})
    arena_run.check("c", make() if name != "truth raises" else True, details={"odd": make(), "plain": "kept"})
    arena_run.param("odd", make())
    arena_run.param("plain", "kept")
    arena_run.feedback(1, categories={"odd": make(), "plain": "kept"})
"""
    )

    result = run_as_without(suite, *run_args)

    assert set(result.parseoutcomes()) == {"passed"}
    count = result.parseoutcomes()["passed"]
    assert suite.index["total_runs"] == 2 * count
    saved = [run for run in suite.runs() if not run.run_id.startswith("test_suite.py::")]
    recorded = [run for run in suite.runs() if run.run_id.startswith("test_suite.py::")]
    assert (len(saved), len(recorded)) == (count, count)
    for run in saved:
        (message,) = run.messages
        args: Any = message.tool_calls[0].args
        assert run.params["plain"] == message.meta["plain"] == args["plain"] == "kept"
        assert message.validations[0].details["plain"] == "kept"
        assert run.trial_results[1] == "kept"
    for run in recorded:
        assert [message.role for message in run.messages] == ["user", "assistant", "tool"]
        assert run.params["plain"] == run.messages[1].meta["plain"] == "kept"
    assert any("kept as text" in kind for kind in troubles(suite))
    assert suite.index["completeness"]["lost"] == []


@pytest.mark.parametrize(
    ("statement", "field"),
    [
        ("arena_run.param('odd', object())", "metadata.params.odd"),
        ("arena_run.assistant('hi', meta={'odd': object()})", "messages[1].meta.odd"),
        ("arena_run.tool_call('f', {'odd': object()})", "messages[1].tool_calls[0].args.odd"),
        ("arena_run.check('c', True, details={'odd': object()})", "conv_assertions_results[0].details.odd"),
        ("arena_run.validate('v', passed=True, details={'odd': object()})", "messages[0].validations[0].details.odd"),
        ("arena_store.save({'id': 'a', 'messages': [], 'metadata': {'odd': object()}})", "metadata.odd"),
    ],
)
def test_the_summary_names_the_field(suite: Suite, statement: str, field: str) -> None:
    suite.write(f"def test_it(arena_store, arena_run):\n    arena_run.user('hello')\n    {statement}\n")

    result = run_as_without(suite, "-p", "no:xdist")

    _first, line = suite.lines(result)
    assert f"{field}: a object is not JSON, kept as text" in line


def test_what_is_read_once_is_not_read(suite: Suite) -> None:
    suite.write(
        ODD
        + r"""
@pytest.mark.parametrize("name", ONCE)
def test_it(arena_store, arena_run, name):
    value, untouched = ONCE[name](), ONCE[name]()
    for _ in range(2):
        arena_store.save({"id": name, "messages": [{"role": "user", "content": "hello", "meta": {"value": value}}]})
    arena_run.tool_call("f", {"value": value})
    arena_run.param("value", value)
    assert list(value) == list(untouched)
    for each in (value, untouched):
        if hasattr(each, "close"):
            each.close()
"""
    )

    run_as_without(suite, "-p", "no:xdist").assert_outcomes(passed=6)

    assert suite.index["total_runs"] == 12


# --- amounts ---------------------------------------------------------------------------------


def test_megabytes_and_thousands(suite: Suite, run_args: list[str]) -> None:
    suite.write(
        r"""
def test_one_message(arena_run):
    arena_run.user("\u00fc" * 4_000_000)

def test_many_messages(arena_run):
    for n in range(10_000):
        arena_run.user(str(n))

def test_many_messages_at_once(arena_store):
    messages = [{"role": "user", "content": str(n)} for n in range(10_000)]
    arena_store.save({"id": "at once", "messages": messages})

def test_many_conversations(arena_store):
    for n in range(300):
        arena_store.save({"id": f"conversation {n}", "messages": [{"role": "user", "content": str(n)}]})

def test_many_troubles(arena_run):
    for n in range(300):
        arena_run.param(f"key {n}", object())
"""
    )

    result = run_as_without(suite, *run_args)

    result.assert_outcomes(passed=5)
    assert suite.index["total_runs"] == 304
    one = suite.run_named("test_suite.py::test_one_message")
    assert one.messages[0].content == "\u00fc" * 4_000_000
    for run_id in ("test_suite.py::test_many_messages", "at once"):
        assert [message.content for message in suite.run_named(run_id).messages] == [str(n) for n in range(10_000)]
    assert len(suite.lines(result)) < 10, "a list of everything belongs into the index"


# --- what a test does to its process -----------------------------------------------------------


def test_saves_near_the_end_of_the_stack(suite: Suite, run_args: list[str]) -> None:
    """Where the store itself can still save, the results have it, and the test learns nothing of the journal."""
    suite.write(
        r"""
import inspect, json, sys

def at(depth, call):
    return at(depth - 1, call) if depth > 0 else call()

def test_it(arena_store, arena_run):
    arena_run.user("before")
    saved = []
    for margin in range(10, 150, 2):
        depth = sys.getrecursionlimit() - len(inspect.stack()) - margin
        for save in (lambda: arena_store.save({"id": f"at {margin}", "messages": [{"role": "user", "content": "hi"}]}),
                     lambda: arena_run.user(str(margin))):
            try:
                at(depth, save)
            except RecursionError:
                pass
    print(json.dumps([message.content for message in arena_run.messages]))
    print(json.dumps([f"at {margin}" for margin in range(10, 150, 2) if arena_store.log_len(f"at {margin}")]))
"""
    )

    result = run_as_without(suite, *run_args, "-rP")

    messages, conversations = [json.loads(line) for line in result.outlines if line.startswith('["')]
    run = suite.run_named("test_suite.py::test_it")
    assert [message.content for message in run.messages] == messages
    assert run.error == ""
    assert {run.run_id for run in suite.runs()} == {"test_suite.py::test_it", *conversations}


@pytest.mark.parametrize(
    "replace",
    [
        "monkeypatch.setattr('os.getpid', lambda: 42)",
        "monkeypatch.setattr('time.time', mock.Mock())",
        "monkeypatch.setattr('time.time_ns', mock.Mock())",
        "monkeypatch.setattr('builtins.open', mock.mock_open())",
        "monkeypatch.setattr('os.write', lambda descriptor, content: len(content))",
        "monkeypatch.setattr('os.fstat', mock.Mock())",
        "monkeypatch.setattr('os.open', mock.Mock(return_value=1))",
        "monkeypatch.setattr('json.dumps', mock.Mock(side_effect=ValueError))",
        "monkeypatch.setattr('json.loads', mock.Mock(side_effect=ValueError))",
        "monkeypatch.setattr('pathlib.Path.open', mock.Mock(side_effect=OSError))",
        "monkeypatch.setattr('os.environ', {})",
        "monkeypatch.setattr('sys.stdout', None); monkeypatch.setattr('sys.stderr', None)",
        "os.chdir(tmp_path); shutil.rmtree(tmp_path)",
        "gc.disable()",
        "os.umask(0o777)",
        "warnings.simplefilter('error')",
        "threading.Thread(target=arena_run.user, args=['from a thread']).start()",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "sys.modules.update(dict.fromkeys(['json', 'datetime', 'os', 'zlib', 'base64', 'threading']))",
        "arena_run.user('in between'); raise KeyError(replaced)",
    ],
)
def test_what_a_test_does_to_its_process(suite: Suite, replace: str) -> None:
    suite.write(
        f"""
import gc, os, shutil, signal, sys, threading, warnings
from unittest import mock
import pytest

@pytest.fixture
def replaced(monkeypatch, tmp_path):
    modules, here, umask = dict(sys.modules), os.getcwd(), os.umask(0o022)
    yield
    sys.modules.update(modules)
    os.chdir(here)
    os.umask(umask)

def test_it(replaced, arena_run, monkeypatch, tmp_path):
    arena_run.user("before")
    {replace}
    arena_run.user("after")

def test_next(arena_run):
    arena_run.user("next")
"""
    )

    result = run_as_without(suite, "-p", "no:xdist")

    (line,) = suite.lines(result)
    assert " 0 lost " in line
    assert "crashed" not in line
    said = suite.said()
    assert said["test_suite.py::test_it"][0] == "before"
    if "KeyError" not in replace:
        assert said["test_suite.py::test_it"][-1] == "after"
    assert said["test_suite.py::test_next"] == ["next"]


@pytest.mark.parametrize("to", ["arena-results", "arena-results.jsonl.gz"])
@pytest.mark.parametrize(
    "leak",
    [
        "os.getpid = lambda: 42",
        "shutil.rmtree = mock.Mock(side_effect=KeyError)",
        "sys.path[:], sys.meta_path[:] = [], []",
    ],
)
def test_what_a_test_leaves_behind_is_no_reason_for_no_results(suite: Suite, leak: str, to: str) -> None:
    suite.write(
        f"""
import os, shutil, sys
from unittest import mock

def test_it(arena_run):
    arena_run.user("before")
    {leak}
    arena_run.user("after")
"""
    )

    result = suite.run_apart("-p", "no:xdist", to=to)

    (line,) = suite.lines(result)
    assert line.startswith("arena: 1 run (1 passed)")
    (run,) = suite.runs(to)
    assert [message.content for message in run.messages] == ["before", "after"]
    assert not list(suite.path.glob("*.journals"))


@pytest.mark.skipif(os.name == "nt", reason="nobody can move an open file there")
def test_journals_that_a_test_moves_away_lose_nothing(suite: Suite, run_args: list[str]) -> None:
    """As a test does that makes room for a folder of its own and forgets to put the old one back."""
    suite.write(
        """
import pathlib

def test_it(arena_run, pytestconfig):
    arena_run.user("before")
    here = pathlib.Path(pytestconfig.invocation_params.dir)
    (here / "arena-results.journals").rename(here / "elsewhere")
    arena_run.user("after")
"""
    )

    result = suite.run_apart(*run_args)

    line, *_ = suite.lines(result)  # a worker that ended before it leaves none, and this is said
    assert line.startswith("arena: 1 run (1 passed)")
    assert suite.said() == {"test_suite.py::test_it": ["before", "after"]}
    assert not list(suite.path.glob("*.journals"))


def test_the_advice_for_journals_that_a_test_drove_away_can_be_followed(
    suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing can be made of them where something is in the place of their folder."""
    suite.write(
        """
import pathlib, shutil

def test_it(arena_run, pytestconfig):
    journals = pathlib.Path(pytestconfig.invocation_params.dir, "arena-results.journals")
    shutil.rmtree(journals)
    journals.write_text("mine")
    arena_run.user("hello")
"""
    )

    result = suite.run_apart("-p", "no:xdist")

    advice = suite.lines(result)[-1].split("arena-state ")[1].split()
    assert arena_state([argument.replace("OUT", "recovered") for argument in advice]) == 0
    assert [run.messages[0].content for run in suite.runs("recovered")] == ["hello"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_the_umask_that_a_test_leaves_is_not_that_of_the_results(suite: Suite) -> None:
    """An artifact that only its owner may read is not uploaded, and a lock that nobody may open locks for ever."""
    suite.write("import os\n\ndef test_it(arena_run):\n    arena_run.user('hello')\n    os.umask(0o777)\n")
    suite.pytester.makeconftest("import os\n\ndef pytest_unconfigure(): assert os.umask(0) == 0o777")

    result = suite.run_apart("-p", "no:xdist", "--arena-html=arena.html", to="arena-results.jsonl")

    assert result.ret == pytest.ExitCode.OK
    modes = {path.stat().st_mode for path in suite.path.glob("arena*")}
    assert modes == {(suite.path / "test_suite.py").stat().st_mode}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_that_gets_out_of_its_test_says_nothing_of_the_session(suite: Suite) -> None:
    """`sys.exit` there ends no process: pytest takes it for a failure, and the child runs what follows."""
    suite.write(
        """
import os, sys

def test_it(arena_run):
    arena_run.user("hello")
    child = os.fork()
    if not child:
        sys.exit()
    os.waitpid(child, 0)
"""
    )

    result = suite.run_apart("-p", "no:xdist")

    (line,) = suite.lines(result)
    assert line.startswith("arena: 1 run ")
    assert not list(suite.path.glob("*.journals"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("limit", "why"), [("NOFILE", "Too many open files"), ("FSIZE", "File too large")], ids=["no file", "no room"]
)
def test_what_a_forked_child_cannot_keep_is_named(suite: Suite, run_args: list[str], limit: str, why: str) -> None:
    """A child that gives its rights away has nowhere to write to, not even that it has not."""
    suite.write(
        """
import os, resource

def test_it(arena_store, arena_run):
    arena_run.user("hello")
    for _ in range(2):
        child = os.fork()
        if not child:
            allowed = resource.getrlimit(resource.RLIMIT_WHAT)
            resource.setrlimit(resource.RLIMIT_WHAT, (0, allowed[1]))
            arena_store.save({"id": "kept later", "messages": [{"role": "user", "content": "one"}]})
            if _:
                resource.setrlimit(resource.RLIMIT_WHAT, allowed)
                arena_store.save({"id": "kept later", "messages": [{"role": "user", "content": "two"}]})
            os._exit(0)
        os.waitpid(child, 0)
""".replace("WHAT", limit)
    )

    result = suite.run_apart(*run_args)

    result.assert_outcomes(passed=1)
    assert suite.index["completeness"]["lost"] == [{"what": "saves of 1 forked child", "why": why}]
    assert suite.said() == {"test_suite.py::test_it": ["hello"], "kept later": ["two"]}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_what_one_store_of_a_forked_child_lacks_is_named_though_another_is_kept(suite: Suite) -> None:
    suite.write(
        """
import os, resource

def test_it(arena_store, arena_session_store):
    child = os.fork()
    if not child:
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, allowed[1]))
        arena_session_store.save({"id": "not kept", "messages": [{"role": "user", "content": "one"}]})
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
        arena_store.save({"id": "kept", "messages": [{"role": "user", "content": "two"}]})
        os._exit(0)
    os.waitpid(child, 0)
"""
    )

    result = suite.run_apart("-p", "no:xdist")

    result.assert_outcomes(passed=1)
    assert suite.index["completeness"]["lost"] == [{"what": "saves of 1 forked child", "why": "Too many open files"}]
    assert suite.said() == {"kept": ["two"]}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not tell which files are open")
def test_a_test_that_closes_every_file(suite: Suite) -> None:
    """Tests of daemons do. The numbers of what was ours are then those of the test's own files."""
    suite.write(
        """
import os, pathlib

def test_it(arena_run, tmp_path):
    arena_run.user("before")
    for file in pathlib.Path("/proc/self/fd").iterdir():
        if ".journals" in os.path.realpath(file):
            os.close(int(file.name))
    files = [open(tmp_path / f"{n}", "w") for n in range(20)]
    arena_run.user("after")
    for file in files:
        file.write("mine")
        file.flush()
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}
    globals()["kept_open"] = files

def test_next(arena_run):
    arena_run.user("next")
    for file in kept_open:
        file.close()  # raises where it was closed by somebody else
"""
    )

    result = run_as_without(suite, "-p", "no:xdist")

    result.assert_outcomes(passed=2)
    (line,) = suite.lines(result)
    assert " 0 lost " in line
    assert suite.said() == {"test_suite.py::test_it": ["before", "after"], "test_suite.py::test_next": ["next"]}


@pytest.mark.parametrize("args", [("-p", "no:xdist"), ("-n2",)], ids=["serial", "workers"])
def test_a_session_outside_the_main_thread(suite: Suite, args: tuple[str, ...]) -> None:
    """Editors and notebooks start one so, and so may execnet, whose workers have one main thread for many tasks."""
    suite.write("def test_it(arena_run): arena_run.user('hello')")
    suite.load(xdist="-n2" in args)
    program = (
        "import sys, threading, pytest\n"
        "status = []\n"
        "session = threading.Thread(target=lambda: status.append(pytest.main(sys.argv[1:])))\n"
        "session.start()\n"
        "session.join()\n"
        "sys.exit(status[0])\n"
    )

    result = suite.pytester.run(sys.executable, "-c", program, "--arena-results=arena-results", *args)

    result.assert_outcomes(passed=1)
    (line,) = suite.lines(result)
    assert ", 0 lost -> " in line
    assert suite.said() == {"test_suite.py::test_it": ["hello"]}


@pytest.mark.parametrize("size", [5_000, 9_000])
def test_a_journal_that_takes_no_more_is_named(suite: Suite, size: int) -> None:
    pytest.importorskip("resource", reason="this system has no limits for processes")
    suite.write(
        """
import resource, signal

def test_it(arena_store):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    arena_store.save({"id": "before", "messages": [{"role": "user", "content": "hello"}]})
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, resource.RLIM_INFINITY))
    for n in range(3):
        arena_store.save({"id": f"after {n}", "messages": [{"role": "user", "content": "x" * LETTERS}]})
""".replace("LETTERS", str(size))
    )

    result = run_as_without(suite, "-p", "no:xdist")

    first, second, *_ = [*suite.lines(result), ""]
    assert "crashed" not in first
    if size < 8_000:  # what the journal did not take was staged, a file for each run
        assert first.startswith("arena: 4 runs (4 passed)")
        assert ", 0 lost -> " in first
        return
    assert ", 1 lost -> " in first
    assert re.fullmatch(r"arena: lost: \d+ records of main: File too large", second)


def test_tests_that_pytest_does_not_announce(suite: Suite) -> None:
    """A plugin that runs tests by itself, past the hooks, loses what only they tell and nothing else."""
    suite.write(
        """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    for item in session.items:
        session._setupstate.setup(item)
        item.runtest()
        session._setupstate.teardown_exact(None)
    return True
""",
        "conftest",
    )
    suite.write(
        """
def test_one(arena_run): arena_run.user("hello")
def test_two(arena_run): arena_run.user("hello")
def test_three(arena_store): arena_store.add({"messages": [{"role": "user", "content": "hello"}]})
"""
    )
    result = suite.run()

    assert result.ret == pytest.ExitCode.OK
    assert sorted(suite.rows) == [f"unannounced test {number}" for number in (1, 2, 3)]
    assert "arena: a test ran that pytest did not announce; how it ended is not known (3 times)" in suite.lines(result)


def test_sigterm_ends_a_test_that_tries_again_whatever_failed(suite: Suite) -> None:
    """Clients of models take every exception for a broken connection; a job's end must not be one."""
    suite.write("""
import os, signal, time

def test_it(arena_run):
    arena_run.user("before")
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    except Exception:
        arena_run.user("again")

def test_next(arena_run):
    arena_run.user("next")
""")

    result = suite.run_apart("-p", "no:xdist")

    assert result.ret == 143
    assert suite.only_run().error == "interrupted: SIGTERM"
    assert [message.text for message in suite.only_run().messages] == ["before"]

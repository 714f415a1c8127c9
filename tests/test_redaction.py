"""Secrets never reach a disk, and what is no secret is left as it was.

No key here was ever valid: each says that it is fake, and is put together from pieces so
that no scanner of repositories takes it for a leak.
"""

import base64
import itertools
import json
import pickle
import random
import re
import string
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from pytest_arena_state import messages, models
from pytest_arena_state._wire import WireModel
from pytest_arena_state.errors import ConfigurationError
from pytest_arena_state.redaction import RedactionRules, Redactor
from pytest_arena_state.trace import LLMCall

FAKE = "F4kE" * 12  # 48 letters and digits, as many as the longest keys need
HEX = "fa4e" * 8

# rule, key
SHAPES = [
    ("anthropic-key", "sk-" + "ant-api03-" + FAKE + "-_" + FAKE),
    ("openai-key", "sk-" + FAKE),
    ("openai-key", "sk-" + "proj-" + FAKE + "_" + FAKE + "-T3"),
    ("openai-key", "sk-" + "1234567890abcdef"),
    ("openai-key", "sk-" + "or-v1-" + HEX * 2),
    ("openai-key", "sk-" + "a" * 48),
    *(("github-token", f"gh{kind}_" + FAKE[:36]) for kind in "pousr"),
    ("github-token", "github" + "_pat_" + FAKE[:22] + "_" + FAKE),
    *(
        ("gitlab-token", f"gl{kind}-" + FAKE[:20])
        for kind in ("agent", "cbt", "dt", "ft", "imt", "pat", "ptt", "rt", "soat")
    ),
    ("aws-access-key-id", "AKIA" + "FAKE" * 4),
    ("aws-access-key-id", "ASIA" + "FAKE" * 4),
    ("google-key", "AIza" + "Sy" + FAKE[:33]),
    ("google-key", "GOCSPX" + "-" + FAKE[:28]),
    ("google-key", "ya29" + "." + FAKE + "_-" + FAKE),
    *(("slack-token", f"xox{kind}-" + "1234567890-" + FAKE) for kind in "abeoprs"),
    ("slack-token", "xapp" + "-1-A012345-6789-" + HEX),
    ("huggingface-token", "hf" + "_" + FAKE[:34]),
    *(("stripe-key", f"{kind}_" + f"{mode}_" + FAKE[:24]) for kind in ("sk", "rk") for mode in ("live", "test")),
    ("sendgrid-key", "SG" + "." + FAKE[:22] + "." + FAKE[:43]),
    ("npm-token", "npm" + "_" + FAKE[:36]),
    ("pypi-token", "pypi" + "-AgEIcHlwaS5vcmc" + FAKE * 2),
    ("groq-key", "gsk" + "_" + FAKE + "F4kE"),
    ("xai-key", "xai" + "-" + FAKE + FAKE[:32]),
    ("replicate-token", "r8" + "_" + FAKE[:37]),
    ("perplexity-key", "pplx" + "-" + FAKE),
    ("databricks-token", "dapi" + HEX),
    ("jwt", "eyJ" + "hbGciOiJmYWtlIn0" + ".eyJ" + "zdWIiOiJmYWtlIn0" + "." + FAKE),
]
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\n" + "\n".join(["F4kE" * 16] * 3) + "\n-----END RSA " + "PRIVATE KEY-----"

# Everything that stands around a key in what suites record.
AROUND = [
    ("", ""),
    ("use ", " please"),
    ("first line\n", "\nlast line"),
    ("export KEY=", ";"),
    ("KEY='", "'"),
    ('{"a": "', '"}'),
    ("(", ")."),
    ("?key=", "&x=1"),
    ("%3D", "%26"),
    (r"a line that is escaped once more\n", r"\nso"),
    ("\\u0022", "\\u0022"),
    ("\N{SNOWMAN}", "\N{SNOWMAN}"),
    ("\n-", ""),
    ("test_log_in[gpt-5-mini-", "]"),
]


def redactor(*patterns: str, env: dict[str, str] | None = None, **more: Any) -> Redactor:
    """One that knows nothing of the environment in which these tests run."""
    return Redactor(RedactionRules(patterns=patterns), environ=env or {}, **more)


def redacted(document: object, using: Redactor) -> Any:
    return json.loads(using.redact(to_json(document)))


# --- the shapes of keys ----------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/google/api/firebase/projects/myproject/databases/default/docs/keys/", "/a" * 40 + "/"]
)
def test_the_path_of_a_url_is_no_base64_in_which_anything_may_stand(path: str) -> None:
    key = "AIza" + "Sy" + FAKE[:33]

    assert redactor().redact_text(f"https://x.example{path}{key}") == f"https://x.example{path}[redacted:google-key]"


@pytest.mark.parametrize(("rule", "key"), SHAPES)
@pytest.mark.parametrize(("before", "after"), AROUND)
def test_a_key_is_replaced_wherever_it_stands(rule: str, key: str, before: str, after: str) -> None:
    using = redactor()

    assert redacted({"content": before + key + after}, using) == {"content": f"{before}[redacted:{rule}]{after}"}
    assert using.counts == {rule: 1}


@pytest.mark.parametrize(("before", "after"), AROUND)
def test_a_private_key_is_replaced_as_one_block(before: str, after: str) -> None:
    document = {"content": before + PEM + after}

    assert redacted(document, redactor()) == {"content": f"{before}[redacted:private-key]{after}"}


def test_a_private_key_inside_json_inside_a_string_is_replaced() -> None:
    """Arguments of tools are JSON in a JSON string, where a newline is two characters."""
    arguments = json.dumps({"pem": PEM, "bits": 2048})

    using = redactor()

    assert json.loads(redacted({"arguments": arguments}, using)["arguments"]) == {
        "pem": "[redacted:private-key]",
        "bits": 2048,
    }


def test_a_private_key_that_is_cut_off_is_replaced_as_far_as_it_goes() -> None:
    """Models and logs shorten long texts; half a key is still too much."""
    cut_off = PEM[: len(PEM) // 2]

    assert redacted([cut_off + " … and so on"], redactor()) == ["[redacted:private-key] … and so on"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer f4ke-token-1", "Authorization: Bearer [redacted:authorization]"),
        ("curl -H 'authorization: bearer F4keF4ke'", "curl -H 'authorization: bearer [redacted:authorization]'"),
        ("Authorization: Basic dTpwYXNz", "Authorization: Basic [redacted:authorization]"),
        (r"{\"Authorization\": \"Bearer x1y2z3\"}", r"{\"Authorization\": \"[redacted:authorization]\"}"),
        ("{'Authorization': 'Bearer F4keF4ke'}", "{'Authorization': '[redacted:authorization]'}"),
        ("said Bearer " + FAKE[:16], "said Bearer [redacted:authorization]"),
        ("Basic ZmFrZTpmYWtlLXBhc3M=", "Basic [redacted:authorization]"),
        ("x-api-key: f4kef4kef4ke", "x-api-key: [redacted:api-key]"),
        ("OPENAI_API_KEY=f4ke-f4kef4ke\nDEBUG=1", "OPENAI_API_KEY=[redacted:api-key]\nDEBUG=1"),
        ("aws_secret_access_key = " + FAKE[:40], "aws_secret_access_key = [redacted:secret]"),
        ("?access_token=f4kef4kef4ke&page=2", "?access_token=[redacted:token]&page=2"),
        ('call {"api_key": "short", "n": 1}', 'call {"api_key": "[redacted:api-key]", "n": 1}'),
        ('{"password": "two words"}', '{"password": "[redacted:password]"}'),
        ("{'password': 'two words'}", "{'password': '[redacted:password]'}"),
        (r"{'password': 'with \' quote'}", "{'password': '[redacted:password]'}"),
        ('["password" => "two words"]', '["password" => "[redacted:password]"]'),
        (r'{"password": "with \" quote"}', '{"password": "[redacted:password]"}'),
        ("password=password=f4kef4ke1 is", "password=[redacted:password] is"),
        ("postgres://bob:f4ke@db:5432/x", "postgres://bob:[redacted:url-password]@db:5432/x"),
        ("redis://:f4ke@db", "redis://:[redacted:url-password]@db"),
        ("amqp://bob:f4@ke:x@db/", "amqp://bob:[redacted:url-password]@db/"),
        (
            "https://hooks.slack.com/services/" + "T0F4KE/B0F4KE/" + FAKE[:24],
            "https://hooks.slack.com/services/[redacted:slack-webhook]",
        ),
    ],
)
def test_a_secret_in_a_text_is_replaced_and_what_says_what_it_is_stays(text: str, expected: str) -> None:
    using = redactor()

    assert redacted([text], using) == [expected]
    assert using.redact_text(text) == expected


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Authorization", "authorization"),
        ("proxy-authorization", "authorization"),
        ("X-Api-Key", "api-key"),
        ("apiKey", "api-key"),
        ("OPENAI_API_KEY", "api-key"),
        ("secret_access_key", "secret"),
        ("clientSecret", "secret"),
        ("password", "password"),
        ("userPassword", "password"),
        ("refresh_token", "token"),
        ("accessToken", "token"),
        *((f"{kind}_secret", "secret") for kind in ("api", "app", "client", "consumer", "shared", "signing")),
        ("webhook_secret", "secret"),
        ("secret_key", "secret"),
        *((f"{kind}_key", "api-key") for kind in ("access", "account", "encryption", "private", "signing")),
        ("subscription_key", "api-key"),
        ("passphrase", "password"),
        ("passwd", "password"),
        *((f"{kind}_token", "token") for kind in ("api", "auth", "bearer", "bot", "csrf", "private", "security")),
        ("session_token", "token"),
        ("xsrf_token", "token"),
    ],
)
def test_the_value_of_a_field_that_is_named_like_a_secret_is_replaced(name: str, rule: str) -> None:
    """A password is a secret however it looks."""
    headers = {name: "Bearer abc", "Accept": "text/html"}

    assert redacted(headers, redactor()) == {name: f"[redacted:{rule}]", "Accept": "text/html"}


@pytest.mark.parametrize(("name", "rule"), [("password", "password"), ("secret", "secret"), ("token", "token")])
def test_so_is_every_value_in_a_list_of_them(name: str, rule: str) -> None:
    """A header that is sent twice is a list, and one of its values may be empty."""
    document = {name: ["", "f4kef4kef4kef4ke", "F4kE" * 4], "after": "f4kef4kef4kef4ke"}

    assert redacted(document, redactor()) == document | {name: ["", f"[redacted:{rule}]", f"[redacted:{rule}]"]}


TELLING = [
    "authorization",
    "session cookie",
    "api key",
    "passphrase",
    "passwd",
    "password",
    "client secret",
    "api token",
]
WAYS_TO_ASSIGN = [
    *("%s=%s", "%s:%s", "%s: %s", "%s : %s", "%s = %s", "%s   =   %s", "%s=>%s", "%s => %s", "%s\n=\n%s", "%s \t: %s"),
    *("%s='%s'", "'%s': '%s'", "'%s' = '%s'", '%s="%s"', '"%s": "%s"', '"%s" => "%s"', '"%s"\n:\n"%s"'),
    *("%s \\n = %s", "\\'%s\\': %s", "%s\\t=%s", "%s\\\\n:%s"),
]


@pytest.mark.parametrize("name", TELLING)
def test_a_field_in_a_text_is_found_however_it_is_spelled_and_escaped(name: str) -> None:
    """The look at JSON searches for pieces of names and what follows; each way of writing has a piece of its own."""
    using = redactor()
    words = name.split()
    spelled = {joint.join(words) for joint in ("_", "-", "", " ", ".")}
    spelled |= {words[0] + "".join(map(str.title, words[1:])), "-".join(map(str.title, words))}
    missed = []
    for key in sorted({*spelled, *map(str.upper, spelled)}):
        for way in WAYS_TO_ASSIGN:
            value = "id=hunter-and-gatherer" if way.startswith('"') else "id=q7We2rT5" * 2
            document: object = f"see {way % (key, value)} there"
            for level in range(4):
                if value in using.redact(to_json([document])).decode():
                    missed.append((key, way, level))
                document = to_json({"text": document}).decode()

    assert missed == []


@pytest.mark.parametrize("name", TELLING)
def test_a_field_of_json_is_found_however_it_is_laid_out(name: str) -> None:
    using = redactor()
    key = name.replace(" ", "_")
    for value in ("id=q7We2rT5", "id=hunter-and-gatherer"):
        for way in ('{"%s":"%s"}', '{"%s" : "%s"}', '{"%s":["%s"]}', '{"%s": [ "%s"]}', '{\n"%s"\n:\n"%s"}'):
            for spelled in (key, key.upper(), key.title()):
                assert value not in using.redact((way % (spelled, value)).encode()).decode()


@pytest.mark.parametrize("white", ["\t", "\r", "\n"])
def test_white_space_that_json_forbids_hides_nothing(white: str) -> None:
    assert b"q7We2rT5" not in redactor().redact(f'{{"text":"password{white}= q7We2rT5"}}'.encode())


@pytest.mark.parametrize(("letters", "hidden"), [(31, False), (32, True)])
def test_a_long_word_without_a_digit_is_a_secret_behind_a_telling_name(letters: int, hidden: bool) -> None:
    word = ("qWeRtYuIoP" * 4)[:letters]

    assert (word not in redactor().redact_text(f"api_key={word}, then")) == hidden


def test_only_the_value_of_the_field_itself_is_replaced() -> None:
    """The schema of a tool says what a password is and holds none."""
    document = {
        "password": {"type": "string", "description": "the password of the user"},
        "required": ["password", "username"],
        "api_key": None,
        "access_token": 12345678,
        "passphrase": "",
        "passwd": "password",
        "apiKey": "<your key>",
        "cookie": "chocolate chip",
        "next_page_token": "f4kef4kef4kef4ke",
        "secret": "pineapple",
        "after": "untouched",
        "rows": [{"password": 1}, "untouched"],
    }

    assert redacted(document, redactor()) == document


# --- what is no secret -----------------------------------------------------

INNOCENT = [
    "sk-learn, scikit-learn and sk-learn-based-classification-pipelines",
    "a task-oriented-dialogue-system, risk-assessment-questionnaires-v2 and desk-organisation",
    "123e4567-e89b-12d3-a456-426614174000",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709 " + HEX + " sha256:" + HEX * 2,
    "call_" + FAKE[:24] + " msg_01" + FAKE[:22] + " chatcmpl-" + FAKE[:29],
    "2024-05-01T12:00:00.000000000Z",
    "xoxo-gossip-girl-forever",
    "sk-gpt4turbo-classification-pipeline and a Bearer of gpt4turbo-classification",
    "npm_config_registry hf_hub_download r8_ gsk_ AIza AKIA eyJ SG. ya29.",
    "AKIA" + "FAKE" * 5,  # four more than a key has
    "password: must be at least 8 characters, and secret: is what you tell nobody",
    "the api key: see the documentation; Authorization: required",
    "Basic Understanding of Basic Authentication and Basic HTML5Parsing; a Bearer authentication-scheme-of-tokens",
    "Authorization: Bearer authentication. Authorization: Basic scheme",
    "password = getpass2024() and token = tokens[128] and token: Token.Name.Builtin.SchemeFunction",
    'private_key: EllipticCurvePrivateKey, password: "at least eight characters", api_key="two words"',
    "https://example.com:8080/@user and mailto:bob@example.com and https://a.b/c?d=e:f@g",
    "postgres://user:password@host and https://user:<password>@host and redis://:${REDIS_PASSWORD}@db",
    "api_key=YOUR_API_KEY, api_key=os.environ, API_KEY=$OPENAI_API_KEY, 'password': '********'",
    "a key begins with -----BEGIN PRIVATE " + "KEY----- and ends with -----END PRIVATE " + "KEY-----",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + FAKE,
    "[redacted:openai-key] [redacted:OPENAI_API_KEY] [redacted:hook-failed]",
    'log probabilities: {"token":"Hello","logprob":-0.31,"bytes":[72]}, {"token":"tokenization"}',
    "data:image/png;base64," + base64.b64encode(bytes(range(256))).decode(),
    "data:image/png;base64," + "iVBORw0KGgo/" * 6 + "AIza" + FAKE + "+AA=",
    "gAAAAABm_" * 8 + "-sk-" + FAKE,
]


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_resembles_a_secret_is_left_alone(text: str) -> None:
    """A report that is full of false alarms is one that nobody can read."""
    using = redactor()
    document = to_json({"messages": [{"content": text, "token": "tokenization"}], "max_tokens": 4096})

    assert using.redact(document) is document
    assert using.redact_text(text) == text
    assert not using.counts


@pytest.mark.parametrize("special", ["+/", "-_"])
def test_an_image_holds_no_secret(special: str) -> None:
    """Pictures are megabytes of random letters, where every short prefix turns up."""
    letters = string.ascii_letters + string.digits + special
    document = to_json({"data": "".join(random.Random(20).choices(letters, k=3_000_000))})

    using = redactor()

    assert using.redact(document) is document


# --- the document around ---------------------------------------------------


def test_only_the_string_is_changed_and_every_other_byte_stays() -> None:
    """A number that is parsed and written again may be another number."""
    key = SHAPES[0][1]
    document = '{"n":14545884459,"f":1e-07,"d":1.50,"big":%s,"s":"<>","t" :  [ "<>" ],"d":2,"\\u00e9":"\\/ü"}' % (
        "9" * 40
    )

    cleaned = redactor().redact(document.replace("<>", f"a {key} \\u00e9").encode())

    assert cleaned.decode() == document.replace("<>", "a [redacted:anthropic-key] é")


def test_a_key_of_an_object_is_never_changed() -> None:
    """Readers look fields up by name: a report without its keys is no report."""
    secret = SHAPES[1][1]
    document = to_json({secret: 1, "password": {secret: "x"}})

    using = redactor(env={"FAKE_API_KEY": secret})

    assert using.redact(document) is document


def test_a_part_of_a_document_is_redacted_like_a_whole_one() -> None:
    """The journal keeps what stands before and after the messages of a report."""
    part = b'"A":1,"password":"f4ke","B":["' + SHAPES[1][1].encode() + b'",'

    assert redactor().redact(part) == b'"A":1,"password":"[redacted:password]","B":["[redacted:openai-key]",'


def test_nesting_costs_no_stack() -> None:
    document = b'{"a":[' * 3_000 + to_json(SHAPES[1][1]) + b"]}" * 3_000

    assert redactor().redact(document) == b'{"a":[' * 3_000 + b'"[redacted:openai-key]"' + b"]}" * 3_000


def test_a_lone_surrogate_stays_and_the_document_stays_utf8() -> None:
    """Python can hold half a character, a file cannot."""
    document = rb'{"a":"\ud83d %s \udc80","b":"\ud83d"}' % SHAPES[1][1].encode()

    cleaned = redactor().redact(document)

    assert json.loads(cleaned.decode()) == {"a": "\ud83d [redacted:openai-key] \udc80", "b": "\ud83d"}


def test_bytes_that_are_no_utf8_do_not_let_a_secret_through() -> None:
    document = b'{"a":"\xff","b":"\xff ' + SHAPES[1][1].encode() + b'"}'

    assert redactor().redact(document) == b'{"a":"\xff","b":"\\udcff [redacted:openai-key]"}'


LONG_PEM = PEM.replace("F4kE" * 16, "\n".join(["F4kE" * 16] * 300))  # 60,000 characters
LONG_SECRET = "F4kE-" + FAKE * 1_000


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (LONG_PEM, "[redacted:private-key]"),
        ("Bearer " + FAKE * 1_000, "Bearer [redacted:authorization]"),
        (SHAPES[0][1], "[redacted:anthropic-key]"),
        ("password=f4kef4ke1", "password=[redacted:password]"),
        ('"password": "two words"', '"password": "[redacted:password]"'),
        ("k-f4ke-s3cret", "[redacted:FAKE_TOKEN]"),
        (LONG_SECRET, "[redacted:FAKE_SECRET]"),
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize("edge", [0, 65_536, 81_920, 131_072])
def test_a_long_text_is_searched_to_its_end(edge: int, secret: str, expected: str) -> None:
    """Long texts are searched window by window; a secret may lie across an edge."""
    using = redactor(env={"FAKE_SECRET": LONG_SECRET, "FAKE_TOKEN": "k-f4ke-s3cret"})

    for before in range(max(0, edge - 25), edge + 1):
        text = "ü" * before + " "
        assert using.redact_text(f"{text}{secret} end") == f"{text}{expected} end"


@pytest.mark.parametrize(
    "unit",
    [
        "sk-",
        "eyJ",
        "eyJabcdefghi.",
        "token\\",
        "token=",
        "password=",
        "hf_" + "F4kE" * 8 + "_",
        "hf_" + "F4kE" * 8 + "_ghp_" + "F4kE" * 9 + "_",
        "AIza" + "F4kE" * 9 + "/",
        "\\",
        'password:"',
        '\\"password\\":\\"',
        "http://a:b",
        "F4kE",
        " ",
        "-----BEGIN PRIVATE KEY-----",
    ],
)
def test_hostile_text_costs_no_more_than_its_length(unit: str) -> None:
    """A model can be talked into writing anything; the timeout of this suite is the assertion."""
    hostile = unit * (3_000_000 // len(unit))

    cleaned = redactor(env={"FAKE_SECRET": '\\\\"/F4kE\n'}).redact(to_json([f"Basic {hostile} {SHAPES[1][1]}"]))

    assert SHAPES[1][1].encode() not in cleaned


# --- environment variables -------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_API_KEY", "openai_api_key", "OPENAI_APIKEY", "ANTHROPIC_API_KEY_2", "GITHUB_TOKEN", "TOKEN"),
        *("CLIENT_SECRET", "SECRET_KEY_BASE", "DB_PASSWORD", "PGPASSWORD", "PASSWD", "DB_PASS", "MYSQL_PWD"),
        *("AZURE_CREDENTIALS", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SSH_PRIVATE_KEY", "ENCRYPTION_KEY"),
        *("SENTRY_DSN", "AZURE_PAT", "VAULT_SECRET_ID", "npm_config_//registry/:_authToken", "GROQ_KEY"),
        "AZURE_STORAGE_CONNECTION_STRING",
    ],
)
def test_the_value_of_a_variable_that_says_secret_is_secret(name: str) -> None:
    using = redactor(env={name: "fake value with 4 digits 2024" if name != "GROQ_KEY" else "f4kef4kef4kef4ke"})

    cleaned = using.redact(to_json(["the fake value with 4 digits 2024 or f4kef4kef4kef4ke"]))

    assert re.search(rb"\[redacted:[A-Z0-9_]+\]", cleaned)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false-value"),
        ("MAX_TOKENS", "many-many-4096"),
        ("EOS_TOKEN", "<|endoftext|>"),
        ("PASSWORDLESS_LOGIN", "on-every-host"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "in-a-file-1"),
        ("AWS_ACCESS_KEY_ID", "an-id-and-no-key"),
        ("PASSWORD_STORE_DIR", "some-directory"),
        ("DB_SECRET_NAME", "production-db"),
        ("GIT_CREDENTIAL_HELPER", "osxkeychain-1"),
        ("SSH_AUTH_SOCK", "some-socket-1234"),
        ("PUBLIC_KEY", "f4kef4kef4kef4ke"),
        ("S3_KEY", "reports-of-the-year"),
        ("S3_KEY", "QUARTERLYREPORTS/2024"),
        ("S3_KEY", "f4kef4kef4kef4k"),  # a character less than a key without a telling name needs
        ("OLDPWD", "some-directory"),
        ("COMPASS", "north-by-northwest"),
        ("DB_PASSWORD", "seven77"),
        ("DB_PASSWORD", "       seven77       "),
        ("DB_PASSWORD", "Disabled"),
        ("DB_PASSWORD", "assistant"),
        ("APP_SECRET", "production"),
        ("DB_PASSWORD", "********"),
        ("API_KEY", "your-api-key-here"),
        ("API_KEY", "${OPENAI_API_KEY}"),
        ("API_KEY", "<your key>"),
        ("OPENAI_API_KEY", "openai_api_key"),
        ("SESSION_TOKEN", "1234567890"),
        ("SESSION_TOKEN", "-1_000_000.5e10"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/home/nobody/fake-account.json"),
    ],
)
def test_a_value_that_is_no_secret_stays_readable(name: str, value: str) -> None:
    """The word `assistant` stands in every message: taken for a password, it ruins them all."""
    document = to_json([f"about {value} and Disabled"])

    assert redactor(env={name: value}).redact(document) is document


def test_a_file_that_exists_is_no_secret(tmp_path: Path) -> None:
    document = to_json([str(tmp_path)])

    assert redactor(env={"DEPLOY_CREDENTIALS": str(tmp_path)}).redact(document) is document


def test_a_longer_secret_is_replaced_before_one_that_it_begins_with() -> None:
    """Otherwise the end of the longer one is left."""
    env = {"A_TOKEN": "fake-secret", "B_TOKEN": "fake-secret-and-more"}

    using = redactor(env=env)

    assert using.redact_text("fake-secret, fake-secret-and-more") == "[redacted:A_TOKEN], [redacted:B_TOKEN]"
    assert using.counts == {"A_TOKEN": 1, "B_TOKEN": 1}


def test_a_thousand_secrets_are_all_found() -> None:
    env = {f"USER_{number}_PASSWORD": f"fake-{number:04}-é" for number in range(1_000)}

    cleaned = redacted(list(env.values()), redactor(env=env))

    assert cleaned == [f"[redacted:{name}]" for name in env]


def test_a_value_of_several_lines_is_found_in_every_spelling() -> None:
    value = 'line one "quoted"\nline\ttwo \\ with é and 😀'
    using = redactor(env={"FAKE_CREDENTIALS": value})

    for spelled in [value, json.dumps(value), json.dumps(json.dumps(value)), quote(value), quote_plus(value)]:
        assert redacted([spelled], using)[0].strip('\\"') == "[redacted:FAKE_CREDENTIALS]"


def test_a_secret_inside_base64_is_found_at_each_alignment() -> None:
    """A request body, a basic header and a Kubernetes secret are base64 of more than the secret."""
    secret = "fake?secret>~~"
    using = redactor(env={"FAKE_SECRET": secret})

    for encode, lead, before, after in itertools.product(
        (base64.b64encode, base64.urlsafe_b64encode),
        ("", "<", "in <"),  # what is no base64 stays, and what follows is found where the text begins, too
        ("", "u", "us", "use"),
        ("", ".", "..", "..."),
    ):
        encoded = encode(f"{before}{secret}{after}".encode()).decode()
        left, right = using.redact_text(f"{lead}{encoded}>").split("[redacted:FAKE_SECRET]")
        # Nothing is left but characters of which not one bit is the secret's.
        assert left.startswith(lead)
        assert encoded.startswith(left.removeprefix(lead))
        assert len(left) <= len(lead) + len(before) * 8 // 6
        assert f"{encoded}>".endswith(right)
        assert len(right) <= len(encoded) + 1 - -(-len(before + secret) * 8 // 6)


def test_a_secret_that_came_later_is_learned_and_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sets a key with monkeypatch, and saves in its tear-down, where the key is gone again."""
    using = Redactor()
    monkeypatch.setenv("FAKE_LATE_TOKEN", "fake-late-secret")
    assert using.redact_text("fake-late-secret") == "fake-late-secret"

    using.refresh()
    monkeypatch.setenv("FAKE_LATE_TOKEN", "fake-later-one")
    using.refresh()
    monkeypatch.delenv("FAKE_LATE_TOKEN")
    using.refresh()

    cleaned = using.redact_text("fake-late-secret, fake-later-one")
    assert cleaned == "[redacted:FAKE_LATE_TOKEN], [redacted:FAKE_LATE_TOKEN]"


NO_UNICODE = "p\udcff-ßß\n-\ud83d"


@pytest.mark.parametrize("spelled", [NO_UNICODE, "p\ufffd-ßß\n-\ufffd", "p?-ßß\n-?", r"p\udcff-\u00df\u00df\n-\ud83d"])
def test_a_value_that_is_no_unicode_is_found_as_well(spelled: str) -> None:
    """An environment holds bytes; what is no UTF-8 in them arrives as lone surrogates, and some writers clean these."""
    using = redactor(env={"FAKE_PASSWORD": NO_UNICODE})

    assert using.redact_text(f"<{spelled}>") == "<[redacted:FAKE_PASSWORD]>"


def test_refresh_reads_the_environment_that_it_is_given() -> None:
    using = redactor()

    using.refresh({"FAKE_TOKEN": "fake-secret"})

    assert using.redact(b'["fake-secret"]') == b'["[redacted:FAKE_TOKEN]"]'


def test_a_name_that_could_break_json_cannot_get_into_it() -> None:
    using = redactor(env={'A"\n]_TOKEN': "fake-secret"})

    assert using.redact(b'["fake-secret"]') == b'["[redacted:A____TOKEN]"]'


# Not a placeholder, a number or a common word; everything else that a variable can hold.
secrets = st.text(min_size=4).map(lambda text: f"k{text}4y0".strip()).filter(lambda secret: len(secret) >= 8)
texts = st.text(max_size=20)


def in_json(secret: str) -> str:
    return json.dumps({"k": secret})


def in_plain_json(secret: str) -> str:
    return json.dumps({"k": secret}, ensure_ascii=False)


def in_json_in_json(secret: str) -> str:
    return in_json(in_plain_json(secret))


def in_small_percents(secret: str) -> str:
    return re.sub("%..", lambda percent: percent[0].lower(), quote(secret, safe=""))


def in_base64(secret: str) -> str:
    return base64.b64encode(secret.encode()).decode()


def in_longer_base64(secret: str) -> str:
    return base64.b64encode(b"u:" + secret.encode() + b"...").decode()


def in_url_base64(secret: str) -> str:
    return base64.urlsafe_b64encode(b"user:" + secret.encode()).decode()


def in_a_node_id(secret: str) -> str:
    return secret.encode("unicode_escape").decode()


def in_repr_of_bytes(secret: str) -> str:
    return repr(secret.encode())[2:-1]


SPELLINGS: list[Callable[[str], str]] = [
    *(str, in_json, in_plain_json, in_json_in_json, quote, quote_plus, in_small_percents),
    *(in_a_node_id, in_repr_of_bytes),
    *(in_base64, in_longer_base64, in_url_base64),
]


@given(secret=secrets, before=texts, after=texts)
@pytest.mark.parametrize("spell", SPELLINGS)
def test_no_spelling_of_a_secret_survives(spell: Callable[[str], str], secret: str, before: str, after: str) -> None:
    spelled = spell(secret)
    using = redactor(env={"FAKE_SECRET": secret})

    cleaned = redacted([f"{before} {spelled} {after}"], using)[0]

    assert using.counts["FAKE_SECRET"] >= 1
    assert secret not in cleaned
    assert spelled not in cleaned
    # What is the same in base64 whatever stands around it, found by trying two surroundings.
    for size in range(3):
        low, high = (base64.b64encode(edge * size + secret.encode() + edge * 3).decode() for edge in (b"\x00", b"\xff"))
        inner = "".join(one for one, other in zip(low, high, strict=True) if one == other)
        assert inner not in cleaned
        assert inner.translate({43: 45, 47: 95}) not in cleaned


# --- properties ------------------------------------------------------------

# Pieces out of which keys, and what looks like them, are put together by chance.
pieces = st.lists(
    st.sampled_from(
        [
            *(key for _, key in SHAPES),
            *(PEM, PEM[:80], "sk-", "eyJ", "Bearer ", "Basic ", "Authorization", "api_key", "apiKey", "password"),
            *(
                "token",
                "secret",
                "client_secret",
                "://",
                ":",
                "@",
                "=",
                " = ",
                '"',
                "'",
                "\\",
                "\n",
                "\t",
                " ",
                "-",
                "_",
            ),
            *(
                "%3D",
                "\\n",
                "[",
                "(",
                ",",
                "é",
                "😀",
                "\u2028",
                "\x00",
                "\x7f",
                FAKE,
                "f4kef4ke",
                "word",
                "1",
                "k-s3cret",
            ),
            *("[redacted:", "]", "[redacted:openai-key]", "k-s3cret-2", base64.b64encode(b"ak-s3cret-2b").decode()),
        ]
    )
    | st.text(max_size=3),
    max_size=8,
).map("".join)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | pieces,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(pieces | st.sampled_from(["password", "token"]), inner),
    max_leaves=12,
)
ENV = {"FAKE_SECRET": "k-s3cret", "FAKE_TOKEN": "k-s3cret-2"}


def shape_of(value: object) -> object:
    """A document without its string values."""
    if isinstance(value, dict):
        return {key: shape_of(inner) for key, inner in value.items()}
    return [shape_of(inner) for inner in value] if isinstance(value, list) else "" if isinstance(value, str) else value


@given(documents)
def test_valid_json_stays_valid_and_differs_in_string_values_only(document: object) -> None:
    assert shape_of(redacted(document, redactor(env=ENV))) == shape_of(json.loads(to_json(document)))


@given(documents)
def test_what_was_redacted_stays_as_it_is_and_is_not_counted_again(document: object) -> None:
    using = redactor(r"wo\w+", r"\w$", "^.", env=ENV)
    once = using.redact(to_json(document))
    counted = using.counts.copy()

    assert using.redact(once) is once
    assert using.counts == counted


def test_a_key_that_begins_where_another_was_replaced_is_found_at_once() -> None:
    """Otherwise it would be written first and found when the journals are merged."""
    glued = f"{'ghp_' + FAKE}-{SHAPES[0][1]}"

    assert redactor().redact_text(glued) == "[redacted:github-token]-[redacted:anthropic-key]"
    assert redacted(["0" + SHAPES[0][1]], redactor("^0")) == ["[redacted:arena_redact[0]][redacted:anthropic-key]"]


@given(documents)
def test_the_quick_look_misses_nothing_that_the_careful_walk_finds(document: object) -> None:
    """Beside bytes that are no UTF-8 no look is taken: all is taken apart."""
    serialised = to_json(document)

    assert redactor(env=ENV).redact(b'["\xff",%b]' % serialised) == b'["\xff",%b]' % redactor(env=ENV).redact(
        serialised
    )


@given(documents)
def test_a_document_is_returned_itself_exactly_if_nothing_was_counted(document: object) -> None:
    using = redactor(env=ENV)
    serialised = to_json(document)

    assert (using.redact(serialised) is serialised) == (not using.counts)


@given(st.lists(documents, max_size=3))
def test_what_one_look_clears_holds_no_secret(several: list[object]) -> None:
    """Many messages are looked at as one, which saves a look for each."""
    using = redactor(env=ENV)
    serialised = [to_json(document) for document in several]

    cleared = using.clears(b",".join(serialised))

    assert not using.counts
    if cleared:
        assert [using.redact(document) for document in serialised] == serialised


def test_a_look_clears_nothing_that_a_hook_or_a_pattern_may_object_to() -> None:
    assert redactor().clears(b'["word"]')
    assert not redactor("wo").clears(b'["word"]')
    assert not redactor(hook=lambda _: None).clears(b'["word"]')
    assert not redactor().clears(b'["\xff"]')


@given(pieces)
def test_a_text_and_a_document_that_holds_it_are_redacted_alike(text: str) -> None:
    """What a file is named after is what stands in it."""
    using = redactor(env=ENV)

    assert redacted([text], using) == [using.redact_text(text)]


@given(pieces)
def test_nothing_that_stands_before_a_key_protects_it(text: str) -> None:
    key = SHAPES[0][1]

    assert not redactor().redact_text(f"{text} {key}").endswith(key)


# --- the user's patterns and hook ------------------------------------------


def test_a_pattern_of_the_user_is_named_by_its_group_or_its_place() -> None:
    using = redactor(r"ACME-\d+", r"customer (?P<customer_id>\d+)")

    assert redacted(["ACME-12 is customer 77"], using) == ["[redacted:arena_redact[0]] is [redacted:customer_id]"]
    assert using.counts == {"arena_redact[0]": 1, "customer_id": 1}


def test_a_pattern_sees_the_text_and_not_its_json() -> None:
    using = redactor(r'^say "\w+"\n$')

    assert redacted(['say "hello"\n', 'so say "hello"\n'], using) == ["[redacted:arena_redact[0]]", 'so say "hello"\n']


def test_a_pattern_that_means_the_end_of_a_text_means_no_other_place() -> None:
    using = redactor(r"\d{4}$")

    assert using.redact_text("1234 5678") == "1234 [redacted:arena_redact[0]]"
    assert using.redact_text("1234[redacted:arena_redact[0]]") == "1234[redacted:arena_redact[0]]"
    assert using.counts == {"arena_redact[0]": 1}


@pytest.mark.parametrize("pattern", ["", "x*", r"\b", "$", "(?:)"])
def test_a_pattern_that_matches_nothing_at_all_changes_nothing(pattern: str) -> None:
    document = to_json(["abc", ""])

    assert redactor(pattern).redact(document) is document


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("(", "missing ), unterminated subpattern at position 0"), ("a{3,1}", "min repeat greater than max repeat")],
)
def test_a_pattern_that_is_none_is_named_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        redactor("fine", pattern)

    assert str(raised.value).startswith(f"arena_redact: {pattern!r} is not a regular expression: {reason}")


def test_a_warning_about_a_pattern_is_no_error() -> None:
    """Suites turn warnings into errors; this one does, too."""
    assert redactor("[[a]x").redact_text("ax") == "[redacted:arena_redact[0]]"


def test_a_pattern_leaves_times_and_the_names_of_media_files_to_the_format() -> None:
    """A run with a time that is none cannot be read, and media under another name are not found."""
    born, now, name = "1970-01-01", "2026-02-11T08:30:01.123456Z", f"media/{'0123456789abcdef' * 4}.png"
    using = redactor(r"\d{4}", hook=lambda text: text.replace(":", ";"))
    document = {"timestamp": now, "StartTime": "0001-01-01T00:00:00Z", "file_path": name, "context": {"started": now}}

    assert redacted(document, using) == document
    assert using.counts == {}
    hidden = redacted({"timestamp": born, "said": now, "path": f"see {name}"}, using)
    assert not re.search(r"\d{4}", "".join(hidden.values()))


def times_of(model: type[WireModel]) -> list[str]:
    """The JSON names of its fields that are times."""
    return [
        field.serialization_alias or name
        for name, field in model.model_fields.items()
        if datetime in get_args(field.annotation)
    ]


def test_a_pattern_leaves_every_time_of_ours() -> None:
    """A time that is added to a model and forgotten here makes a run that nobody can read."""
    now = "2026-02-11T08:30:01Z"
    classes = [each for each in (*vars(messages).values(), *vars(models).values()) if isinstance(each, type)]
    names = {name for each in classes if issubclass(each, WireModel) for name in times_of(each)}
    document = dict.fromkeys([*sorted(names), *times_of(LLMCall)], now)

    assert {"timestamp", "StartTime", "end_time", "created_at", "last_accessed_at", "started_at"} <= document.keys()
    assert redacted(document, redactor(r"\d{4}")) == document


def test_what_only_resembles_what_is_ours_is_redacted_like_any_text() -> None:
    """A tool may have such a path as its argument, and a fraction of a second that is long is something else."""
    hidden = "0123456789abcdef" * 4
    using = redactor("4111[0-9]{12}", env={"FAKE_SIGNING_KEY": hidden})
    path, ending = f"media/{hidden}.png", f"media/{'f' * 64}.4111111111111111"

    said = redacted({"args": {"path": path}, "content": path, "file_path": ending}, using)
    late = redacted({"timestamp": "2026-02-11T08:30:01.4111111111111111Z"}, using)

    assert hidden not in json.dumps(said)
    assert "4111111111111111" not in json.dumps([said, late])


def test_the_hook_sees_every_string_value_as_the_rules_left_it() -> None:
    seen = list[str]()

    def hook(text: str) -> None:
        seen.append(text)

    redactor(hook=hook).redact(to_json({"a": ["one\n", {"b": f"key {SHAPES[1][1]}"}], "c": 1, "d": ""}))

    assert seen == ["one\n", "key [redacted:openai-key]", ""]


def test_what_the_hook_returns_is_written() -> None:
    using = redactor(hook=lambda text: text.replace("Bob", 'B."') if text != "Ann" else None)
    document = to_json(["Ann"])

    assert redacted({"Bob": ["Bob\n", "Ann", "Cid"]}, using) == {"Bob": ['B."\n', "Ann", "Cid"]}
    assert using.redact(document) is document
    assert using.counts == {"hook": 1}


def test_a_text_is_withheld_when_the_hook_fails() -> None:
    """The hook is there because the text may be secret; a crash does not make it less so."""

    def hook(text: str) -> str:
        raise ValueError(text)

    using = redactor(hook=hook)
    once = using.redact(b'{"a":"f4ke"}')

    assert once == b'{"a":"[redacted:hook-failed]"}'
    assert using.redact(once) is once
    assert using.counts == {"hook-failed": 1}
    assert using.troubles == {"redaction hook failed: ValueError": 1}


def test_a_text_is_withheld_when_the_hook_returns_no_text() -> None:
    using = redactor(hook=lambda _: 0)

    assert using.redact_text("f4ke") == "[redacted:hook-failed]"
    assert using.troubles == {"redaction hook returned int": 1}


# --- rules -----------------------------------------------------------------


def test_each_kind_of_rule_can_be_switched_off() -> None:
    key, env = SHAPES[1][1], {"FAKE_SECRET": "fake-secret"}
    text = f"{key} fake-secret"

    assert Redactor(RedactionRules(env=False), environ=env).redact_text(text) == "[redacted:openai-key] fake-secret"
    password = {"password": "f4ke", "b": "fake-secret"}
    assert redacted(password, Redactor(RedactionRules(keys=False), environ=env)) == {
        "password": "f4ke",
        "b": "[redacted:FAKE_SECRET]",
    }
    assert Redactor(RedactionRules(keys=False), environ=env).redact_text(text) == f"{key} [redacted:FAKE_SECRET]"
    assert redacted({"password": text}, Redactor(RedactionRules(env=False, keys=False), environ=env)) == {
        "password": text
    }


def test_rules_can_be_sent_to_a_worker() -> None:
    """Between machines go plain values only, between processes pickles."""
    rules = RedactionRules(env=False, patterns=("a", "b"))

    assert RedactionRules(**asdict(rules)) == rules
    assert pickle.loads(pickle.dumps(rules)) == rules


def test_a_variable_names_what_a_shape_would_only_guess() -> None:
    key = SHAPES[1][1]

    assert redactor(env={"MY_API_KEY": key}).redact_text(f"Bearer {key}") == "Bearer [redacted:MY_API_KEY]"


def test_a_key_in_the_brackets_of_a_replacement_is_still_a_key() -> None:
    key = SHAPES[1][1]

    assert key not in redactor().redact_text(f"[redacted:{key}]")


def test_a_replacement_says_nothing_of_the_length() -> None:
    short, long = (redactor(env={"FAKE_TOKEN": "k4" * size}).redact_text("k4" * size) for size in (4, 400))

    assert short == long

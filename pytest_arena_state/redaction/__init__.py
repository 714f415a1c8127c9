r"""Secrets never reach a disk: what looks like one is replaced before it is written.

A `Redactor` replaces secrets in the string values of a JSON document and leaves keys, numbers
and layout alone, byte for byte; a document with nothing secret in it is returned as it is.
The replacement names the rule and never the value or its length: ``[redacted:OPENAI_API_KEY]``
for the value of that environment variable, ``[redacted:openai-key]`` for something in the
shape of one. What was redacted once stays as it is and is not counted again.

- ``env``: values of environment variables whose names say so, wherever they stand: as they
  are, escaped as in JSON, URLs and Python, and inside any base64. A value once seen stays secret.
- ``keys``: the shapes of well-known keys, ``Authorization`` headers, passwords in URLs, and
  string values of fields named ``api_key``, ``password``, ``client_secret`` and the like.
- ``patterns``: the user's regular expressions, tried on every string value. A rule is named by
  the pattern's first named group, else by its position, ``arena_redact[0]``; the whole match is
  replaced. A pattern that backtracks without end does so here as well: that is the user's care.
- a hook, last, which sees what the rules above have left. Where it fails, its text is withheld.

Most documents hold no secret, so a quick look at the whole document comes first. It uses the
regular expressions of pydantic-core, which search for many literals in one pass. A look may err
on one side only. It is taken at raw JSON too, where a newline is ``\n`` and a quote ``\"``.

Not found: a secret in an object key or in a number; one that is split, compressed, encrypted or
encoded in two ways at once; base64 with a line break inside the secret; a key of a shape that is
in no table below, in no field with a telling name and in no variable with a telling name.
"""

from .redactor import Redactor
from .rules import RedactionRules

__all__ = ["RedactionRules", "Redactor"]

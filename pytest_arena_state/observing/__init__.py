"""Conversations of code that knows nothing of us: ``--arena-capture``.

A *door* is a place where a library tells of its calls to whoever asked: OpenTelemetry's span
processors, LangChain's callbacks, the trace processors of the OpenAI Agents SDK, LiteLLM's
callbacks. We go to a door when the user's own code has imported its library, and import none.
What a door tells is a `Call` or an `Execution`; the `Observation` of the test that was running
when the call began folds it into threads, in the test's store.

Outside a test a door does nothing. Nothing that goes wrong here reaches the code under test:
it is counted, and named in the summary.
"""

from .calls import Call, Execution
from .observation import Observation, current
from .watch import Watch

__all__ = ["Call", "Execution", "Observation", "Watch", "current"]

"""Conversations of the libraries that people use, recognised by their shape.

`from_messages` reads what a library gave, `collect` what it streamed, `record_stream` watches a
stream while the user reads it, and `new_messages` tells what a repeated history adds. One
module per source; none imports its library, so none needs it, and none is loaded unless this
package is. A `Source` in the entry-point group ``pytest_arena_state.sources`` adds one.

Nothing raises but `UnrecognisedSourceError`. What a library says and we have no field for is
kept in ``meta``; what it does not say stays empty.
"""

from ..errors import UnrecognisedSourceError
from .alignment import Alignment, align, new_messages, pair, repeats_the_last_or_nothing
from .reading import collect, from_messages, told_unmapped, unmapped
from .recognition import source_names
from .recording import record_stream
from .source import Claim, Source

__all__ = [
    "Alignment",
    "Claim",
    "Source",
    "UnrecognisedSourceError",
    "align",
    "collect",
    "from_messages",
    "new_messages",
    "pair",
    "record_stream",
    "repeats_the_last_or_nothing",
    "source_names",
    "told_unmapped",
    "unmapped",
]

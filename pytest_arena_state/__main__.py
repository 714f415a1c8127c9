"""``python -m pytest_arena_state``: the command, where no script is installed."""

from .cli import main

raise SystemExit(main())

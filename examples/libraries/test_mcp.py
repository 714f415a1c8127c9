"""mcp: a server's tool is called by hand, and its result belongs to the call that waits for one."""

import asyncio
from typing import Any

import pytest

from pytest_arena_state import ArenaRun
from shop import ANSWER, QUESTION, track_parcel

mcp = pytest.importorskip("mcp", reason="needs mcp: pip install mcp")
servers = pytest.importorskip("mcp.server")
if not hasattr(mcp, "Client"):
    pytest.skip("needs mcp 2: pip install 'mcp>=2'", allow_module_level=True)


async def call_tool(name: str, args: dict[str, Any]) -> Any:
    """Call a tool of a server that runs here."""
    server = servers.MCPServer("shop")
    server.tool()(track_parcel)
    async with mcp.Client(server) as client:
        return await client.call_tool(name, args)


@pytest.mark.arena(scenario_id="late-parcel")
def test_the_parcel_is_looked_up(arena_run: ArenaRun) -> None:
    arena_run.user(QUESTION)
    arena_run.tool_call("track_parcel", {"order_id": "T-1002"})

    result = asyncio.run(call_tool("track_parcel", {"order_id": "T-1002"}))
    arena_run.add(result)
    arena_run.assistant(ANSWER)

    arena_run.called("track_parcel", {"order_id": "T-1002"}, times=1)
    (output,) = arena_run.said("on its way", role="tool")
    assert output.tool_result is not None
    assert output.tool_result.name == "track_parcel"

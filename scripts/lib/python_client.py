"""The protocol's Python client against Session-Buddy. Usage: python_client.py PROGRAM REPOSITORY [URL]

Without URL the client starts the program inside REPOSITORY and talks to its standard input and output; with URL it calls a
running server. Every revision that the client speaks is tried. Ends with 0 when all is as it should be.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import ListRootsResult, Root

PROGRAM, REPOSITORY = sys.argv[1], sys.argv[2]
URL = sys.argv[3] if len(sys.argv) > 3 else None
SESSION_KEY = "session-buddy/session_id"


def target():
    if URL:
        return URL
    return stdio_client(
        StdioServerParameters(command=PROGRAM, args=["start", "--mode=standard", "--mcp"], cwd=REPOSITORY, env=dict(os.environ))
    )


async def own_session(client):
    """The session that was opened for this client, once it is open."""
    for _ in range(100):
        answer = await client.call_tool("health_check", {})
        named = (answer.meta or {}).get(SESSION_KEY)
        if named:
            return named
        await asyncio.sleep(0.1)
    raise AssertionError("no session was opened for a client in a git repository")


async def roots(_context):
    """Where this client works; a server that it calls over HTTP has no other way to know."""
    return ListRootsResult(roots=[Root(uri=f"file://{REPOSITORY}")])


async def work(mode, revision):
    async with Client(target(), mode=mode, list_roots_callback=roots) as client:
        assert client.protocol_version == revision, client.protocol_version
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert {"search", "list_sessions", "track_events", "health_check"} <= tools, tools
        prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
        assert {"resume", "handoff", "review"} <= prompts, prompts
        templates = {template.uri_template for template in (await client.list_resource_templates()).resource_templates}
        assert templates == {"session://{id}", "session://{id}/events"}, templates

        session = f"python-{revision}-{'http' if URL else 'stdio'}"
        start = {
            "event_version": "1.0", "event_id": f"{session}.s", "session_id": session, "event_type": "session_start",
            "component_name": "python", "shell_type": "Test", "timestamp": "2026-02-06T10:00:00Z", "pid": 1,
            "user": {"username": "ada", "home": "/home/ada"}, "hostname": "box",
            "environment": {"platform": "linux", "cwd": "/home/ada"},
        }
        tracked = await client.call_tool("track_session_start", start)
        assert not tracked.is_error and tracked.structured_content["status"] == "tracked", tracked
        event = {"event_id": f"{session}.1", "event_type": "command", "timestamp": "2026-02-06T10:00:01Z",
                 "data": {"command": f"deploy zebra {session}", "exit_code": 0}}
        receipt = await client.call_tool("track_events", {"session_id": session, "events": [event]})
        assert receipt.structured_content["accepted"] == 1, receipt
        found = await client.call_tool("search", {"query": "zebra", "search_type": "text", "filters": {"session_id": session}})
        assert found.structured_content["hits"][0]["event_id"] == f"{session}.1", found
        assert json.loads(found.content[0].text) == found.structured_content, "the text says the same"
        failed = await client.call_tool("get_session", {"session_id": "no-such-session"})
        assert failed.is_error, failed

        document = await client.read_resource(f"session://{session}/events")
        assert "deploy zebra" in document.contents[0].text, document
        prompt = await client.get_prompt("resume", {"session": session})
        assert session in prompt.messages[0].content.text, prompt
        if URL is None or mode == "legacy":
            own = await own_session(client)
            listed = await client.call_tool("get_session", {"session_id": own})
            assert listed.structured_content["session_type"] == "mcp_client", listed
    print(f"revision {revision} over {'HTTP' if URL else 'standard input'}: as it should be")


async def main():
    await work("legacy", "2025-11-25")
    await work("auto", "2026-07-28")


asyncio.run(asyncio.wait_for(main(), 120))

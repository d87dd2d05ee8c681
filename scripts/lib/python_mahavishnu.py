"""The protocol's Python client against Mahavishnu. Usage: python_mahavishnu.py PROGRAM FOLDER [URL]

Sweeps as tasks (the client's own extension interface), with progress, an approval and a cancel; without tasks, questions by
request (2025-11-25) and by answer (2026-07-28). Without URL the client starts the program in FOLDER and talks to its standard
input and output; with URL it calls a running server. Ends with 0 when all is as it should be.
"""

import asyncio
import json
import os
import sys
from typing import Any, Literal

from mcp import Client, StdioServerParameters
from mcp.client.extension import ClientExtension, ResultClaim
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult, ElicitResult, Request, RequestParams, Result
from pydantic import ConfigDict, Field

PROGRAM, FOLDER = sys.argv[1], sys.argv[2]
URL = sys.argv[3] if len(sys.argv) > 3 else None


def target():
    if URL:
        return URL
    words = ["mcp", "start", "--transport", "stdio"]
    return stdio_client(StdioServerParameters(command=PROGRAM, args=words, cwd=FOLDER, env=dict(os.environ)))


class CreatedTask(Result):
    result_type: Literal["task"] = Field(alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str


class Answer(Result):
    model_config = ConfigDict(extra="allow")


class TaskParams(RequestParams):
    model_config = ConfigDict(extra="allow")
    taskId: str


class TaskRequest(Request[TaskParams, str]):
    name_param = "taskId"


async def ask(session, method, task, **more) -> dict[str, Any]:
    request = TaskRequest(method=method, params=TaskParams(taskId=task, **more))
    answer = await session.send_request(request, Answer)
    return answer.model_dump(by_alias=True)


class Tasks(ClientExtension):
    """Follows a task to its end, answers its questions, or cancels it once it runs."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self, approve=True, cancel=False):
        self.approve, self.cancel, self.statuses = approve, cancel, []

    def claims(self):
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self.resolve)]

    async def resolve(self, created, context) -> CallToolResult:
        while True:
            task = await ask(context.session, "tasks/get", created.task_id)
            self.statuses.append((task["status"], task.get("statusMessage")))
            if task["status"] == "input_required":
                (key, question), = task["inputRequests"].items()
                assert question["method"] == "elicitation/create", question
                answer = {"action": "accept", "content": {"approve": self.approve}}
                await ask(context.session, "tasks/update", created.task_id, inputResponses={key: answer})
            elif task["status"] == "completed":
                return CallToolResult.model_validate(task["result"])
            elif task["status"] == "cancelled":
                return CallToolResult(content=[], is_error=True)
            elif self.cancel and ", 1 running" in task["statusMessage"]:
                await ask(context.session, "tasks/cancel", created.task_id)
            await asyncio.sleep(0.05)


async def agree(_context, params):
    assert params.message == "Go?", params
    return ElicitResult(action="accept", content={"approve": True})


async def tasks():
    follower = Tasks()
    async with Client(target(), mode="auto", extensions=[follower], elicitation_callback=agree) as client:
        assert client.protocol_version == "2026-07-28", client.protocol_version
        done = await client.call_tool("sweep", {"command": ["sleep", "0.3"], "parallel": 1, "approve": "Go?"})
        assert not done.is_error and done.structured_content["completed"] == 3, done
        assert "input_required" in {status for status, _ in follower.statuses}, follower.statuses
        assert "running: 2 of 3 steps, 1 running" in {said for _, said in follower.statuses}, follower.statuses
    for follower, wanted in [(Tasks(approve=False), "completed"), (Tasks(cancel=True), "cancelled")]:
        async with Client(target(), mode="auto", extensions=[follower], elicitation_callback=agree) as client:
            question = {} if follower.cancel else {"approve": "Go?"}
            done = await client.call_tool("sweep", {"command": ["sleep", "600"], "parallel": 1, **question})
            assert done.is_error and follower.statuses[-1][0] == wanted, (done, follower.statuses)


async def questions(mode, revision):
    told = []

    async def progress(done, total, message):
        told.append((done, total))

    async with Client(target(), mode=mode, elicitation_callback=agree) as client:
        assert client.protocol_version == revision, client.protocol_version
        listed = await client.call_tool("list_workflows", {})
        before = len(listed.structured_content["workflows"])
        wanted = {"command": ["sleep", "0.1"], "parallel": 1, "approve": "Go?", "wait": 40}
        done = await client.call_tool("sweep", wanted, progress_callback=progress)
        assert not done.is_error and done.structured_content["status"] == "completed", done
        assert json.loads(done.content[0].text) == done.structured_content, "the text says the same"
        assert told and told == sorted(told) and told[-1] == (3, 3), told
        listed = await client.call_tool("list_workflows", {})
        assert len(listed.structured_content["workflows"]) == before + 1, "a question begins nothing anew"


async def main():
    where = "HTTP" if URL else "standard input"
    await tasks()
    print(f"tasks over {where}: as it should be")
    # Over HTTP, too, a client of 2025-11-25 has a session, by which it is asked.
    for mode, revision in [("legacy", "2025-11-25"), ("auto", "2026-07-28")]:
        await questions(mode, revision)
        print(f"questions and progress of revision {revision} over {where}: as it should be")


asyncio.run(asyncio.wait_for(main(), 240))

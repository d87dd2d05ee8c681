"""A workflow server without a language model.

Usage: llama_server.py PORT FOLDER

Workflows: `greet` answers at once, `slow` writes an event a second for `seconds`, `broken` fails, `stuck` never ends and
says nothing.
"""

import asyncio
import os
import sys

from llama_agents.server import SqliteWorkflowStore, WorkflowServer
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent


class Progress(Event):
    message: str


class Greet(Workflow):
    @step
    async def greet(self, event: StartEvent) -> StopEvent:
        return StopEvent(result=f"hello {event.get('repo', 'nobody')}: {event.get('command', '')}")


class Slow(Workflow):
    @step
    async def work(self, context: Context, event: StartEvent) -> StopEvent:
        seconds = float(event.get("seconds", 5))
        for second in range(int(seconds)):
            context.write_event_to_stream(Progress(message=f"second {second}"))
            await asyncio.sleep(1)
        return StopEvent(result="slow is done")


class Broken(Workflow):
    @step
    async def work(self, event: StartEvent) -> StopEvent:
        raise RuntimeError("the workflow is broken on purpose")


class Stuck(Workflow):
    @step
    async def work(self, event: StartEvent) -> StopEvent:
        await asyncio.sleep(100_000)
        return StopEvent(result="never")


async def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    server = WorkflowServer(workflow_store=SqliteWorkflowStore(os.path.join(folder, "workflows.db")))
    server.add_workflow("greet", Greet())
    server.add_workflow("slow", Slow(timeout=None))
    server.add_workflow("broken", Broken())
    server.add_workflow("stuck", Stuck(timeout=None))
    await server.serve("127.0.0.1", port, uvicorn_config={"log_level": "warning"})


asyncio.run(main())

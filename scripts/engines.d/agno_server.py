"""An AgentOS whose agents answer without a language model.

Usage: agno_server.py PORT FOLDER

Agents: `echo` answers at once, `slow` answers after as many seconds as its message says, `broken` fails.
"""

import asyncio
import os
import sys
import time
from dataclasses import dataclass

import uvicorn
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.base import Model
from agno.models.response import ModelResponse
from agno.os import AgentOS
from agno.team import Team
from agno.workflow import Step, Workflow


def asked(messages):
    return next((str(message.content) for message in reversed(messages) if message.role == "user"), "")


@dataclass
class Stub(Model):
    id: str = "stub"
    provider: str = "nobody"
    manner: str = "echo"

    def answer(self, messages):
        return ModelResponse(role="assistant", content=f"{self.manner}: {asked(messages)}")

    def invoke(self, messages, *args, **kwargs):
        if self.manner == "broken":
            raise RuntimeError("the model is broken on purpose")
        if self.manner == "slow":
            time.sleep(float(asked(messages).split()[0]))
        return self.answer(messages)

    async def ainvoke(self, messages, *args, **kwargs):
        if self.manner == "broken":
            raise RuntimeError("the model is broken on purpose")
        if self.manner == "slow":
            await asyncio.sleep(float(asked(messages).split()[0]))
        return self.answer(messages)

    def invoke_stream(self, messages, *args, **kwargs):
        yield self.invoke(messages)

    async def ainvoke_stream(self, messages, *args, **kwargs):
        yield await self.ainvoke(messages)

    def _parse_provider_response(self, response, **kwargs):
        return response

    def _parse_provider_response_delta(self, response):
        return response


def main():
    port, folder = int(sys.argv[1]), sys.argv[2]
    db = SqliteDb(db_file=os.path.join(folder, "agno.db"))

    def agent(manner):
        return Agent(id=manner, name=manner, model=Stub(manner=manner, retries=0), db=db, telemetry=False)

    agents = [agent("echo"), agent("slow"), agent("broken")]
    team = Team(id="pair", name="pair", members=[agent("echo")], model=Stub(manner="echo"), db=db, telemetry=False)
    flow = Workflow(id="chain", name="chain", steps=[Step(name="first", agent=agents[0])], db=db, telemetry=False)
    system = AgentOS(agents=agents, teams=[team], workflows=[flow], db=db, telemetry=False)
    uvicorn.run(system.get_app(), host="127.0.0.1", port=port, log_level="warning")


main()

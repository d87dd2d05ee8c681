"""Flows of a Prefect server: `greet` ends well, `slow` takes `seconds`, `broken` fails, `dies` kills its own process, `task`
does what a pool gives it.

Usage: prefect_flows.py [WORK-POOL], with PREFECT_API_URL and the rest in the environment

Serves all but `task`; with a work pool, deploys `task` and `dies` to that and ends: a worker of the pool runs them.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from prefect import flow, get_run_logger, serve


@flow
def greet(repo: str = "", path: str = "", command: str = ""):
    if not command:
        get_run_logger().info("hello %s", repo)
        return
    done = subprocess.run(command, shell=True, cwd=path, capture_output=True, text=True)
    for line in (done.stdout + done.stderr).splitlines():
        get_run_logger().info(line)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}")


@flow
def slow(seconds: float = 60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        get_run_logger().info("still here")
        time.sleep(1)


@flow
def broken(repo: str = ""):
    raise RuntimeError(f"{repo} is broken on purpose")


@flow
def dies():
    os.kill(os.getpid(), signal.SIGKILL)


@flow
def task(prompt: str, repo: str = "", path: str = ""):
    print(f"{repo or 'nothing'}: {prompt}", flush=True)
    done = subprocess.run(prompt, shell=True, cwd=path or None, capture_output=True, text=True)
    for line in (done.stdout + done.stderr).splitlines():
        get_run_logger().info(line)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}")


def deploy(pool):
    here = Path(__file__).resolve()
    for name in ("task", "dies"):
        stored = flow.from_source(source=str(here.parent), entrypoint=f"{here.name}:{name}")
        stored.deploy(name="pool", work_pool_name=pool, print_next_steps=False)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        deploy(sys.argv[1])
    else:
        served = (greet, slow, broken, dies)
        serve(*(each.to_deployment(name="dep") for each in served), limit=8, pause_on_shutdown=False)

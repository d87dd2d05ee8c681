"""Serves flows of a Prefect server: `greet` ends well, `slow` takes `seconds`, `broken` fails, `dies` kills its own process.

Usage: prefect_flows.py, with PREFECT_API_URL and the rest in the environment
"""

import os
import signal
import subprocess
import time

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


if __name__ == "__main__":
    serve(*(each.to_deployment(name="dep") for each in (greet, slow, broken, dies)), limit=8, pause_on_shutdown=False)

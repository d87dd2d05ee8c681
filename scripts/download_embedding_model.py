#!/usr/bin/env python3
"""Gets the model that search by meaning needs: the same as `session-buddy models pull`."""

import os
import shutil
import sys
from pathlib import Path

built = Path(__file__).resolve().parent.parent / "target"
candidates = [shutil.which("session-buddy"), built / "release" / "session-buddy", built / "debug" / "session-buddy"]
program = next((str(path) for path in candidates if path and os.access(path, os.X_OK)), None)
if program is None:
    sys.exit("session-buddy is not built and not in PATH; run scripts/quickstart, then this again")
os.execv(program, [program, "models", "pull", *sys.argv[1:]])

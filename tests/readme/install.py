"""Runs the READMEs' blocks that install something, in this Python's environment: ``python -m tests.readme.install``.

``make demo``, the other block that installs, is a part of ``.ci/run`` itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.readme.blocks import FILES, ROOT, Block, read_blocks


def pip_blocks() -> list[Block]:
    """The blocks that call pip, in the READMEs' order."""
    return [block for file in FILES for block in read_blocks(file) if block.kind == "install" and "pip" in block.code]


def main() -> None:
    """Run them from the checkout, with the pip of this Python; the first that fails ends it with its exit code."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for block in pip_blocks():
        print(f"=== {block}\n{block.code}", flush=True)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", block.code], cwd=ROOT, env=environment)
        if done.returncode:
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()

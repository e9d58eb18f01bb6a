"""How this program is called from here, for lines that people copy."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

PROGRAM = "rapidsos-proxy"


def name_program(called: str, found: str | None, directory: Path) -> str:
    """Return the words of a shell that call the program as it was called.

    Args:
        called: ``sys.argv[0]``.
        found: What the shell finds under the program's name, None when nothing.
        directory: Where the words will be used.
    """
    path = Path(called)
    if path.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m {path.parent.name}"
    if path.name == called or (found is not None and Path(found).resolve() == path.resolve()):
        return PROGRAM
    path = path.absolute()
    return shlex.quote(str(path.relative_to(directory) if path.is_relative_to(directory) else path))

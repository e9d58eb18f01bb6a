"""What bandit finds suspicious in the product has been looked at: each such line says why it is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PRODUCT = Path(__file__).parents[2] / "proxy"


def test_bandit_finds_nothing():
    """Ruff's S rules are most of its tests; this is all of them, and bandit's own word."""
    command = [sys.executable, "-m", "bandit", "--quiet", "--recursive", str(PRODUCT)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stdout + found.stderr

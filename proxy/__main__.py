"""``python -m proxy``: the same as ``rapidsos-proxy``."""

import sys

from proxy.cli import main

sys.exit(main())

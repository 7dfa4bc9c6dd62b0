"""``python -m bnncompiler``: the command."""

from __future__ import annotations

import sys

from bnncompiler.cli import main

sys.exit(main())

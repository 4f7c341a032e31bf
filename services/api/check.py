"""A container's health check: `python -m services.api.check URL` ends with 0 when it answers 200."""

from __future__ import annotations

import sys

from services.stack.probes import readiness

if __name__ == "__main__":
    sys.exit(readiness(sys.argv[1]))

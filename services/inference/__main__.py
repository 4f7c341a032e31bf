"""Run the models process: `python -m services.inference [--host HOST] [--port PORT]`."""

from __future__ import annotations

import argparse
import sys

from services.errors import MsmError
from services.inference.serve import serve
from services.settings import load


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m services.inference", description="Serve models.")
    parser.add_argument("--host", help="address to listen on (default: loopback)")
    parser.add_argument("--port", type=int, help="default: the local stack's, else 8080")
    given = parser.parse_args()
    try:
        serve(load(), given.host, given.port)
    except MsmError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")


if __name__ == "__main__":
    main()

"""Run the gateway: `python -m services.gateway`, which `msmctl gateway serve` and the containers call."""

from __future__ import annotations

from services.gateway.serve import serve
from services.settings import load

if __name__ == "__main__":
    serve(load())

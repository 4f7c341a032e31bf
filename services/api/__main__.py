"""Run the HTTP service: `python -m services.api`, which `msmctl api serve` and the containers call."""

from __future__ import annotations

from services.api.serve import serve
from services.settings import load

if __name__ == "__main__":
    serve(load())

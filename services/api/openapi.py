"""The description of the service, `/openapi.json`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.api.problems import MEDIA_TYPE

_PROBLEM = {"$ref": "#/components/schemas/Problem"}


class Documented(FastAPI):
    """FastAPI, whose description says that errors are problem details and not plain JSON."""

    def openapi(self) -> dict[str, Any]:
        """The description; made once."""
        if self.openapi_schema is None:
            described = super().openapi()
            for operations in described["paths"].values():
                for operation in operations.values():
                    for answer in operation["responses"].values():
                        content = answer.get("content", {})
                        if content.get("application/json", {}).get("schema") == _PROBLEM:
                            content[MEDIA_TYPE] = content.pop("application/json")
            self.openapi_schema = described
        return self.openapi_schema

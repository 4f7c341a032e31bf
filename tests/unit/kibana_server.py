"""Who plays Kibana over real HTTP, where there is none."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from services.kibana.client import import_objects
from services.kibana.declarations import load
from services.kibana.objects import ndjson

CONTENT = ndjson(load("shop"))


class Kibana:
    """Answers `_import` as Kibana documents it, over real HTTP."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {"Content-Type": "application/json"}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, sent))
                body = outer.body or outer.took(sent)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def took(sent: bytes) -> bytes:
        objects = [json.loads(line) for line in sent.splitlines() if line.startswith(b"{")]
        results = [
            {"type": one["type"], "id": one["id"], "managed": False, "overwrite": True,
             "meta": {"title": one["attributes"]["title"]}}
            for one in objects
        ]  # fmt: skip
        answer = {"success": True, "successCount": len(results), "warnings": [], "successResults": results}
        return json.dumps(answer).encode()

    def answers(self, status: int, body: Any, **headers: str) -> None:
        self.status, self.headers = status, self.headers | headers
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    def put(self, **more: Any) -> Any:
        return import_objects(self.url, CONTENT, "admin", "sesame", **more)

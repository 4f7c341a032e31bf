"""`msmctl api`: the HTTP service."""

from __future__ import annotations

import click

from cli.options import settings


@click.group()
def api() -> None:
    """The HTTP service; `msmctl up` starts it with the local stack.

    \b
    Example:
      msmctl api serve --port 8080
    """


@api.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port; default: the local stack's, else 8000.")
@click.pass_context
def serve(ctx: click.Context, host: str, port: int | None) -> None:
    """Serve in the foreground: /livez and /readyz.

    \b
    Example:
      msmctl api serve --port 8000
    """
    from services.api.serve import serve as listen

    listen(settings(ctx), host, port)

"""`msmctl config`: the settings and where they come from."""

from __future__ import annotations

import click

from cli.options import json_option
from cli.output import emit_rows


@click.group()
def config() -> None:
    """Show the settings: flag > environment (MSM_*) > MSM_HOME/msmctl.toml > default.

    \b
    Example:
      msmctl config show --origin
    """


@config.command()
@click.option("--origin", is_flag=True, help="Also say which source decided each value.")
@json_option
@click.pass_context
def show(ctx: click.Context, origin: bool, as_json: bool) -> None:
    """List every setting.

    \b
    Example:
      msmctl config show --origin
    """
    from services.settings import Settings, load_with_origin

    values, origins = load_with_origin(home=ctx.find_root().obj)
    rows = []
    for name, field in Settings.model_fields.items():
        row: dict[str, str | None] = {"setting": name, "value": str(getattr(values, name))}
        if origin:
            row["origin"] = origins[name]
        rows.append(row | {"environment": f"MSM_{name.upper()}", "meaning": field.description})
    emit_rows(rows, list(rows[0]), as_json=as_json)

"""Writers and readers of the field's formats; verify."""

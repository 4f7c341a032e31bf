"""The command line: parses, calls services, prints. One module per noun; no logic."""

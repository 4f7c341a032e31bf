"""The demo: what `make demo` runs, on the documentation that ships with the machine's Python."""

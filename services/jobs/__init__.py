"""Jobs: specs, chunks, ledger, execution."""

"""Where passages, queries and qrels come from: one file per kind of source."""

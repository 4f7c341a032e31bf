"""Which candidates are negatives: verdicts, people's marks, filters, sampling; all decided on reading."""

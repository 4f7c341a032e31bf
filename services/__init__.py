"""The domain of msmctl as a plain library: no click, no Celery, no global state."""

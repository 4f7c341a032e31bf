"""Celery app with one task, and the dispatcher."""

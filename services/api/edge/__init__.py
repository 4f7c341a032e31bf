"""What every request passes before an endpoint sees it: ids, limits, counting, leaving."""

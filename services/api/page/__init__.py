"""The page: files of our own, nothing from elsewhere. All that it shows comes from the service's routes."""

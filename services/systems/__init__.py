"""Systems that rank passages: registry, models in the store."""

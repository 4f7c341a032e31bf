"""Search: one leg per system, fusion, explanations."""

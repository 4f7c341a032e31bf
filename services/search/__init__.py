"""Legs, fusion, explanations."""

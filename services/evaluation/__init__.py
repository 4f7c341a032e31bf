"""Measures of runs by ir_measures."""

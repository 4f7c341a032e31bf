"""Candidates from BM25 and dense systems; exclusion of positives and their copies."""

"""Sentences: numbers in, one sentence out."""

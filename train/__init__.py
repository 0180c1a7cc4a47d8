"""Corpora, splits, recipes, fitting and metrics: how checkpoints are made."""

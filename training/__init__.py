"""Datasets, splits, trainers, offline evaluation and gate; writes model bundles."""

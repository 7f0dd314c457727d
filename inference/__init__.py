"""The recommender and its HTTP service."""

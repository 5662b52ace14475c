"""Losses of base and head → a verdict."""

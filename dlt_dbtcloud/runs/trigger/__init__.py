"""Triggers that start exactly one run."""

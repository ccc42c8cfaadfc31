"""Retries of failed runs, and certainty about what they executed."""

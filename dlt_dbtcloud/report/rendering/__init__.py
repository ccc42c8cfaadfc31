"""Rendering of pages from plain data, without an API, files or the network."""

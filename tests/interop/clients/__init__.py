"""Clients of the dbt Cloud API, each with its check against the emulator."""

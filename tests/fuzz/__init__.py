"""Schemathesis imports the hooks by their module's name."""

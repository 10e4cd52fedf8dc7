"""Generates the contract, docs/openapi.json, and checks responses against it."""

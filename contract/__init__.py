"""What makes the contract, docs/openapi.json."""

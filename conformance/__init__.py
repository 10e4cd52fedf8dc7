"""A black-box suite for the API wherever it runs: nothing but HTTP, two users' tokens and the standard library."""

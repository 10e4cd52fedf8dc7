"""The steps of `make build` that create the artifacts of the functions."""

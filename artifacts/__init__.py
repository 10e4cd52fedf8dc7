"""What `make build` runs to make the artifacts of the functions."""

"""Benchmarks that compare this backend with its usual alternatives, on one machine in one run."""

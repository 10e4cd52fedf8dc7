"""Benchmarks: this backend measured against what people use instead, on one machine, in one run."""

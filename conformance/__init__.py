"""A black-box test suite for any deployment. It needs only HTTP, the tokens of two users and the standard library."""

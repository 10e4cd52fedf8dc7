"""The HTTP side: an API Gateway event in, a checked request, a response out."""

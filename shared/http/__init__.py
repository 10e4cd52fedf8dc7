"""The HTTP layer: from the event of API Gateway to a validated request, and from a result to a response."""

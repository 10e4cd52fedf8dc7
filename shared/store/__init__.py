"""The DynamoDB side: the task store, the write engine, and the client with its failures."""

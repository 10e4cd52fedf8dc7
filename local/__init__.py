"""The development gateway: it serves template.yaml on localhost and is never deployed."""

"""The development gateway: serves template.yaml on localhost. Nothing of it is deployed."""

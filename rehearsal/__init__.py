"""`make rehearse`: deploys the template into an emulator of AWS, and uses what was deployed."""

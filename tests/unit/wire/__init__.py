"""What manager and worker say to each other."""

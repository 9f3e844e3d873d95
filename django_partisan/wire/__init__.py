"""What manager, launcher and worker say to each other."""

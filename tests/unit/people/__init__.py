"""What somebody includes or is told."""

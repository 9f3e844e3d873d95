"""What a project subclasses."""

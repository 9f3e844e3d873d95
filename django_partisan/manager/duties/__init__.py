"""What a manager does when it is due, one module each."""

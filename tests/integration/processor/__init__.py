"""What a project enqueues."""

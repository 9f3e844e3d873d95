"""What tasks look like in SQL, and where that is kept."""

"""The parts of the demonstration: database, preparation, manager, progress, summary, page."""

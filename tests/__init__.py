"""The suite: unit, integration, processes, browser and typing."""

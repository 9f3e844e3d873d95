"""Words: names, settings, errors, arithmetic."""

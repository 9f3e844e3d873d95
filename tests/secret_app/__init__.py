"""An app whose tasks have secrets; installed only where a test says so."""

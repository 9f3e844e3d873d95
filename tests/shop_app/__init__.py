"""An app whose models have methods that are processors."""

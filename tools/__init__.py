"""What tests, demo, benchmarks and documentation share; no part of the installed package."""

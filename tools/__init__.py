"""What the tests, the demo and the benchmarks share; no part of the installed package."""

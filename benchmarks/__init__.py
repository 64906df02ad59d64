"""What Renrum promises about speed, measured; docs/benchmarks.md says how to read it."""

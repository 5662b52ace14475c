"""The use cases: check, rank, lint, doctor. The only place that wires the stages together."""

"""One grader per file behind a protocol."""

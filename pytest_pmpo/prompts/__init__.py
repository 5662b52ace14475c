"""What is on disk → prompts and fixtures."""

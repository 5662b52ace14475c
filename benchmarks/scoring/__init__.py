"""Seconds and memory of scoring a prompt's fixtures, by way of doing it, against the machine's floor."""

"""Prompts × fixtures → losses."""

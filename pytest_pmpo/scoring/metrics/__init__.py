"""One metric per file behind the protocol of ``base.py``."""

"""Where candidate prompts come from, one file each behind one protocol."""

"""How candidates are searched, one short file each behind one protocol."""

"""PMPO: mask, rewrite, select by loss, confirm on held-out fixtures."""

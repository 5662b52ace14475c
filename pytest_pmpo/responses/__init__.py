"""Graded complete responses beside the fixtures: sampled and graded once, scored ever after."""

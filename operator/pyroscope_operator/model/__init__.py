"""Frozen values that travel through the operator. They know nobody above them."""

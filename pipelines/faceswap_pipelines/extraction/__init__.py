"""Extract: from footage of a person to a faceset."""

"""Contact sheets, charts and portraits of what is known: for people who would rather look than read."""

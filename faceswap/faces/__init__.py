"""Finding faces, turning them upright, and keeping a person's faces on disk."""

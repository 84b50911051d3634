"""From an aligned face to a frame with another face in it: infer, match colours, blend."""

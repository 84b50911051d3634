"""What the walks share: progress, devices, the first pass over a video, loaded networks, marks."""

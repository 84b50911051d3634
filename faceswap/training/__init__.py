"""Learning a model: the denoising task, the faces on the device, the losses, the step, the checkpoints."""

"""The network, to be read bottom-up: blocks, encoder, bottleneck, decoder, swap_model."""

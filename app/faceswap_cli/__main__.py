"""`python -m faceswap_cli`: the command `faceswap`, for torchrun and for programs that start it."""

from faceswap_cli.start import main

main()

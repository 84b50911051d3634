"""The web page: the whole job without a terminal. A thin layer over the commands of faceswap_pipelines."""

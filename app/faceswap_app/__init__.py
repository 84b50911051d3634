"""The web page: choose a model and a clip, swap, watch, download. A thin layer over the jobs of faceswap_pipelines."""

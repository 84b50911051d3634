"""Videos and pictures, in and out: RGB arrays with exact times on this side, files on the other.

`video` reads, `video_write` writes (and can go on after being killed), `video_mux` puts a written video and its
source's audio into one file, `codecs` says how; they are the only importers of PyAV. `pictures` does stills.
"""

"""Swap: a video of some people becomes the same video of others.

Read in this order: job.py, prepare.py, run.py, outputs.py, sheet.py; preview.py shows a few frames of the same,
segments.py does it in parts.
"""

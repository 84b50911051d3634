"""Evaluate: how good a model and its swaps are.

Read in this order: job.py (what is asked, what came of it), faces.py (faces rebuilt by models), persons.py (who is
wanted, and the gallery), swaps.py (a swapped video beside the one that was swapped), pictures.py and report.py (the
page with all of it), run.py. The measures themselves are defined in `faceswap.quality`.
"""

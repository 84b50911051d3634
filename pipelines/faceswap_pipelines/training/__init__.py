"""Train: from two or more facesets to a model.

Read in this order: job.py, prepare.py, data.py, run.py, record.py.
"""

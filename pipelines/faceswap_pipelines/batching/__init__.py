"""Many jobs: a plan in TOML, worker processes, and a state on disk so that nothing is done twice.

Read in this order: plan.py, state.py, worker.py, crew.py, processes.py, segments.py, run.py; cluster.py is another
crew.
"""

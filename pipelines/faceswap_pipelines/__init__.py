"""Jobs over files, built from the library: extract, train, swap, demo; and the command line that starts them.

Every job is a generator: it yields `Progress` at each point where it may be stopped with nothing lost, and
returns its result. The command line and the app run the same jobs.
"""

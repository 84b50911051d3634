"""Demo: the whole job on two people who do not exist."""

"""The run-time type check that jaxtyping's hook in conftest.py puts round every function of the library."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as for mypy

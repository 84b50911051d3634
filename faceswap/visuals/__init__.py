"""How good a result is, for people who look and for programs that compare."""

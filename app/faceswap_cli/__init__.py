"""The command line: a file for each command. Everything heavy is imported inside the commands."""

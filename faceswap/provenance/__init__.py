"""What a file says of its making: signed credentials, an invisible mark, a label, and who agreed to it."""

"""How the network that sees what lies in front of faces is trained: on things drawn and pasted over portraits."""

"""Base weights: from portraits of many people to weights from which new models begin."""

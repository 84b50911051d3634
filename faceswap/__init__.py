"""Face swapping with one shared encoder and one decoder per person.

The rooms, in the order in which a face travels: `media` (frames) -> `faces` (aligned crops, facesets)
-> `training` with `model` -> `swapping`. Importing this package loads nothing heavy and changes nothing.
"""

__version__ = "0.1.0"

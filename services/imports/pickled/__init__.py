"""A pickle of scores read as data: a machine of the few opcodes that such a file needs, and no others."""

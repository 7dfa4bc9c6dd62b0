"""What generated C runs on: this machine, or a simulator of the target.

`base` says what a machine is; each other module is one. `harness.c` is the main program of all of them: a machine adds
a ``bnn_io.h``, which moves samples in and results out, and the compiler that builds the two with the generated files.
`records` is the form of what goes in and out.
"""

"""The first rungs of the way to fast kernels: loops for a CPU, threads for a GPU.

Each is as simple as its idea allows, to be read and written by those who do it for the first time.
"""

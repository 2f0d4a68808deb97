"""Faster implementations of the ops: one folder a backend, with the same file names as ``ops/``."""

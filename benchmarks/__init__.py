"""How fast minitransformer is, next to what else people use on the same machine.

Every benchmark validates before it times; ``README.md`` here says what is compared, and why fair.
"""

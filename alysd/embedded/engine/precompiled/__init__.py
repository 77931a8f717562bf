"""Fast versions of those precompiled contracts for which the specification's Python takes long.

They cost the same gas, fail for the same inputs and have the same outputs, which tests compare; only their time
differs. Each of them can be interrupted by the time budget, and says before it starts how long it takes at least.
"""

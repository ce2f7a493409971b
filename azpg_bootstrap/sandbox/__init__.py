"""What Azure looks like to a program, on loopback: a PostgreSQL, its gateway, its identities.

Any program of this machine can ask the sandbox for a token, as any program on an Azure host can ask
the real endpoint; keep nothing in it that you would miss or mind being read.
"""

from .errors import SandboxError
from .owner import Sandbox

__all__ = ["Sandbox", "SandboxError"]

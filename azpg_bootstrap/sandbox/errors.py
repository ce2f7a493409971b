"""The one error of this package."""


class SandboxError(RuntimeError):
    """The sandbox could not start, is gone, or could not do what it was asked."""

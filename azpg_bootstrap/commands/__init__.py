"""What `azpg` can do: one module a command, imported when it is asked for."""

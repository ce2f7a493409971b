"""Django's PostgreSQL backend, connected by the variables that Azure Service Connector sets.

`DATABASES = {"default": {"ENGINE": "django_backend"}}` is all that it takes.
"""

"""Django's own engine for PostGIS, with a good token at each new connection."""

from __future__ import annotations

from django.contrib.gis.db.backends.postgis import base

from django_backend.base import AzureConnection


class DatabaseWrapper(AzureConnection, base.DatabaseWrapper):
    """Django's wrapper for PostGIS, connected by AZURE_POSTGRESQL_*."""

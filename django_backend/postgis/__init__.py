"""The engine for GeoDjango: `ENGINE = "django_backend.postgis"`."""

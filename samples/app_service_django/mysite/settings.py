"""The settings of a small site on App Service; nothing in here knows a password."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).parent.parent

# The database, all of it: the rest is in the variables that Service Connector sets.
DATABASES = {"default": {"ENGINE": "django_backend"}}

SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False

# App Service tells a site its name. Its own probes ask by an address of the container's, which
# changes at each start.
HOST = os.environ.get("WEBSITE_HOSTNAME", "localhost")
PROBED = [f"169.254.{net}.{host}" for net in (129, 130, 131) for host in range(256)]
ALLOWED_HOSTS = [HOST, "localhost", "127.0.0.1", *PROBED]
CSRF_TRUSTED_ORIGINS = [f"https://{HOST}"]
# TLS ends at App Service's front end.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "guestbook",  # before Django's own, as it brings a `migrate` of its own
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "mysite.urls"
WSGI_APPLICATION = "mysite.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

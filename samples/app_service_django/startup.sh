#!/bin/sh
# App Service's start-up command. Each instance runs it, several of them at the same time.
set -eu
azpg wait --timeout 60
python manage.py migrate --no-input
exec gunicorn mysite.wsgi

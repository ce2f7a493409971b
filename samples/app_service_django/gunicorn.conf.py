"""How gunicorn serves the site; it reads this file by itself."""

import os

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
workers = 4
# The site is loaded once, and forked: workers start faster and share its memory.
preload_app = True
accesslog = "-"
# gunicorn's heartbeat file; on App Service /tmp is a disk.
worker_tmp_dir = "/dev/shm"

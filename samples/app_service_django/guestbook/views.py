"""The page that lists and adds entries, and the page that App Service's health check asks for."""

from datetime import UTC, datetime

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.urls import reverse_lazy
from django.views.generic import CreateView

import azpg_bootstrap as azpg
from guestbook.models import Entry

SHOWN = 20  # entries on the page


class EntryList(CreateView):
    """The latest entries under a form for the next one."""

    model = Entry
    fields = ["text"]
    template_name = "entries.html"
    success_url = reverse_lazy("entries")

    def get_context_data(self, **context: object) -> dict[str, object]:
        return super().get_context_data(entries=Entry.objects.all()[:SHOWN], **context)


def health(_request: HttpRequest) -> JsonResponse:
    """Say who we are to the database, and until when the present token is good."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (role,) = cursor.fetchone()
    database = azpg.Database.from_env()
    expires = database.token_expires_on()
    until = datetime.fromtimestamp(expires, UTC) if expires else None
    return JsonResponse(
        {
            "role": role,
            "auth_method": database.auth_method,
            "token_expires": until and until.isoformat(timespec="seconds"),
        }
    )

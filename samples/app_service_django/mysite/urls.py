"""The site's three addresses."""

from django.contrib import admin
from django.urls import path
from guestbook import views

urlpatterns = [
    path("", views.EntryList.as_view(), name="entries"),
    path("health", views.health),
    path("admin/", admin.site.urls),
]

"""The pages of the index."""

from django.urls import path

from stdlib_index import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("report.json", views.report, name="report"),
    path("package/<str:name>/", views.package, name="package"),
]

from django.urls import path

from mail_proxy.contrib.django.views import reports

urlpatterns = [path("mail-proxy/sync", reports)]

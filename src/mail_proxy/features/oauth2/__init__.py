"""OAuth2 log-in at SMTP and IMAP servers: access tokens and their renewal."""

from mail_proxy.features.feature import Feature
from mail_proxy.features.oauth2.table import AccessTokensTable

OAUTH2 = Feature(name="oauth2", tables=(AccessTokensTable,))

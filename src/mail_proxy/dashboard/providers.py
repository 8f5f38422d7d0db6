"""Presets of mail providers, so that an account needs a user and a password only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Provider:
    """Server of a provider, as its documentation names it. ``user`` is fixed for some."""

    id: str
    name: str
    host: str
    port: int
    tls: str
    user: str = ""


PROVIDERS = (
    Provider("google", "Google Workspace / Gmail", "smtp.gmail.com", 587, "starttls"),
    Provider("microsoft", "Microsoft 365", "smtp.office365.com", 587, "starttls"),
    Provider("ses", "Amazon SES", "email-smtp.eu-west-1.amazonaws.com", 587, "starttls"),
    Provider("sendgrid", "Twilio SendGrid", "smtp.sendgrid.net", 587, "starttls", "apikey"),
    Provider("mailgun", "Mailgun", "smtp.eu.mailgun.org", 587, "starttls"),
    Provider("postmark", "Postmark", "smtp.postmarkapp.com", 587, "starttls"),
    Provider("brevo", "Brevo", "smtp-relay.brevo.com", 587, "starttls"),
    Provider("mailjet", "Mailjet", "in-v3.mailjet.com", 587, "starttls"),
    Provider("aruba", "Aruba", "smtps.aruba.it", 465, "ssl"),
    Provider("pec-aruba", "PEC Aruba", "smtps.pec.aruba.it", 465, "ssl"),
    Provider("pec-legalmail", "PEC Legalmail", "sendm.cert.legalmail.it", 465, "ssl"),
    Provider("pec-namirial", "PEC Namirial", "sendm.sicurezzapostale.it", 465, "ssl"),
)


def provider(id_: str) -> Provider | None:
    """Return the provider with an id."""
    return next((found for found in PROVIDERS if found.id == id_), None)

"""Attachments: fetch the files of a mail, and bound the size of the mail."""

from mail_proxy.features.attachments.steps import fetching_step, size_step
from mail_proxy.features.feature import Feature

ATTACHMENTS = Feature(
    name="attachments",
    steps={"attachments": fetching_step, "signing": size_step},
)

"""Submission listener: programs that only speak SMTP hand in messages (RFC 6409)."""

from mail_proxy.features.feature import Feature
from mail_proxy.features.smtp_in.listener import SubmissionListener

SMTP_IN = Feature(name="smtp_in", listener=SubmissionListener)

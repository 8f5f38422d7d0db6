"""Mail that comes back: watch mailboxes, and read bounces, complaints and PEC receipts."""

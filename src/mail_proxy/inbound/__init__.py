"""Mail that comes back: readers of bounces, complaints, automatic mail and PEC receipts."""

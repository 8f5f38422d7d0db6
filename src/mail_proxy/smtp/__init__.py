"""Out through SMTP: messages composed, connections pooled, replies understood."""

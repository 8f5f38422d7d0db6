"""``python -m mail_proxy.workers FD``: started by the process with the API, never by hand."""

from mail_proxy.workers.process import main

main()

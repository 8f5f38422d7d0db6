"""Start a worker process: ``python -m mail_proxy.workers FD``.

Only the process with the API runs this command.
"""

from mail_proxy.workers.process import main

main()

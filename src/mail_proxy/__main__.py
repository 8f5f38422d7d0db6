"""``python -m mail_proxy`` is the command ``mail-proxy``."""

from mail_proxy.cli.main import main

if __name__ == "__main__":
    main()

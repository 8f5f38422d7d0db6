"""Statements over the table ``message``: one module for each thing that happens to it."""

# The set of tables imports these modules, and they import single tables. Whichever of them a
# program imports first, the set has to be the one that begins.
from mail_proxy.sql import tables as tables

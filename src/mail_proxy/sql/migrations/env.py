"""Run by Alembic; works on the connection that ``upgrade`` hands over."""

from alembic import context

import mail_proxy.sql.schema  # noqa: F401  # declares the tables
from mail_proxy.sql.metadata import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=False,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()

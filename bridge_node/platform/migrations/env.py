"""What Alembic runs: the steps, on the connection that it was given."""

from alembic import context

from bridge_node.platform.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters tables by making them anew
    transactional_ddl=True,
)
context.run_migrations()

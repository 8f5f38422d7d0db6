"""Operations on the instance: its name, and its settings at run time."""

from __future__ import annotations

from mail_proxy.config import QueueConfig
from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql.tables.instance import bump_directory, runtime_settings
from mail_proxy.wire.instance import InstanceAnswer, InstanceIn, InstanceOut, RuntimeSettings
from mail_proxy.wire.service import program_version


@operation("instance.get", scope=Scope.ADMIN)
def get(context: Context, request: None) -> InstanceAnswer:
    """Return the instance with the settings that are in effect."""
    return _answer(context)


async def _follow(parts: Parts, answer: InstanceAnswer) -> InstanceAnswer:
    """Read the settings again, so that the caller's next request meets the new ones."""
    await parts.directory.current()
    return answer


@operation("instance.update", scope=Scope.ADMIN, mutates=True, replayable=True, then=_follow)
def update(context: Context, request: InstanceIn) -> InstanceAnswer:
    """Change the given fields, for every process of the instance."""
    given = request.settings.model_dump(exclude_unset=True) if request.settings else {}
    with context.tables.instance.record(context.connection, id=1) as row:
        settings = {**(row["settings"] or {}), **given}
        row["settings"] = {k: v for k, v in settings.items() if v is not None}
        if request.name is not None:
            row["name"] = request.name
        row["updated_at"] = context.now
    bump_directory(context.connection)
    context.publish(DirectoryChanged())
    return _answer(context)


def _answer(context: Context) -> InstanceAnswer:
    row = context.tables.instance.get(context.connection, id=1)
    changed = runtime_settings(context.connection)
    queue: QueueConfig = context.config.queue.model_copy(update=dict(changed))
    return InstanceAnswer(
        instance=InstanceOut(
            name=row["name"],
            version=program_version(),
            settings={name: getattr(queue, name) for name in RuntimeSettings.model_fields},
            changed_settings=sorted(changed),
            created_at=int(row["created_at"]),
            updated_at=int(row["updated_at"]),
        )
    )


ALL = (get, update)

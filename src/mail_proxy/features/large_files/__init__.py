"""Large files: attachments above a size are refused, or become links in the body."""

from mail_proxy.features.feature import Feature
from mail_proxy.features.large_files.cleanup import FileCleanup
from mail_proxy.features.large_files.step import large_files_step
from mail_proxy.features.large_files.table import LargeFilesTable
from mail_proxy.sql.tables.link_secret import LinkSecretTable

LARGE_FILES = Feature(
    name="large files",
    tables=(LargeFilesTable, LinkSecretTable),
    service=FileCleanup,
    steps={"large files": large_files_step},
)

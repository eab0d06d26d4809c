"""Turning an upload's parts into an object, or into nothing: the ends of an upload. Blocks, called in threads."""

import contextlib
from collections.abc import Callable

from bridge_node.backends.assembly import assemble, multipart_etag
from bridge_node.backends.local.files import Files
from bridge_node.backends.local.records import DataFile, Record
from bridge_node.backends.local.store import Store
from bridge_node.backends.local.uploads import Upload, Uploads
from bridge_node.backends.paging import part_page
from bridge_node.errors import BackendFailure, NoSuchUpload
from bridge_node.objects import ObjectInfo, PartListing, Stored, UploadInfo
from bridge_node.operations import AbortUpload, CommitUpload, ListParts


class Commits:
    def __init__(
        self, files: Files, uploads: Uploads, store: Store, *, min_part_size: int, clock: Callable[[], float]
    ) -> None:
        self._files = files
        self._uploads = uploads
        self._store = store
        self._min_part_size = min_part_size
        self._clock = clock

    def commit(self, bucket: str, op: CommitUpload) -> Stored:
        """The record that names the parts is the object; what else was staged goes, and the upload with it."""
        with self._files.failures(bucket), self._files.locks.bucket(bucket), self._files.locks.upload(op.upload):
            if (record := self._store.committed(bucket, op.key, op.upload)) is not None:
                return self._again(bucket, op, record)
            upload = self._uploads.load(bucket, op.upload, op.key)
            record = self._assembled(bucket, op, upload)
            displaced = self._store.publish(bucket, record, op.conditions)
            with contextlib.suppress(BackendFailure), self._files.failures(bucket):
                # The object is durable: what stays of the upload is ended by whoever meets it next.
                self._uploads.drop(bucket, op.upload, keep=record.files)
            return stored(record.info, displaced)

    def _assembled(self, bucket: str, op: CommitUpload, upload: Upload) -> Record:
        files = self._uploads.parts(bucket, op.upload)
        staged = {label: file.part for label, file in files.items()}
        assembly = assemble(op, staged, upload.algorithm, composite=upload.composite, min_part_size=self._min_part_size)
        info = ObjectInfo(
            op.key,
            assembly.size,
            assembly.etag,
            self._clock(),
            self._files.writer.new_name(),
            upload.content,
            upload.metadata,
            checksum=assembly.checksum,
            part_count=len(assembly.parts),
        )
        named = zip(assembly.labels, assembly.parts, strict=True)
        return Record(info, files=tuple(DataFile(files[label].name, part) for label, part in named), upload=op.upload)

    def _again(self, bucket: str, op: CommitUpload, record: Record) -> Stored:
        """A commit of what is committed: its answer was lost, or its last step was."""
        self._uploads.drop(bucket, op.upload, keep=record.files)
        if record.info.etag != multipart_etag(op.receipts):
            raise NoSuchUpload(UploadId=op.upload)
        return stored(record.info, displaced=record.info.size)

    def abort(self, bucket: str, op: AbortUpload) -> None:
        with self._files.failures(bucket), self._files.locks.bucket(bucket), self._files.locks.upload(op.upload):
            self._uploads.load(bucket, op.upload, op.key)
            record = self._store.committed(bucket, op.key, op.upload)
            self._uploads.drop(bucket, op.upload, keep=record.files if record else ())
            if record is not None:
                raise NoSuchUpload(UploadId=op.upload)

    def staged(self, bucket: str, op: ListParts) -> PartListing:
        with self._files.failures(bucket):
            self._uploads.load(bucket, op.upload, op.key)
            if self._store.committed(bucket, op.key, op.upload) is not None:
                raise NoSuchUpload(UploadId=op.upload)
            return part_page([file.part for file in self._uploads.parts(bucket, op.upload).values()], op)

    def open_uploads(self, bucket: str) -> list[UploadInfo]:
        """Those that are neither committed nor aborted."""
        found = []
        for handle in self._uploads.handles(bucket):
            try:
                upload = self._uploads.load(bucket, handle)
            except NoSuchUpload:
                continue
            if self._store.committed(bucket, upload.key, handle) is None:
                found.append(UploadInfo(upload.key, handle, upload.started, upload.content))
        return found


def stored(info: ObjectInfo, displaced: int | None) -> Stored:
    """The answer to a write of `info`."""
    return Stored(
        info.etag,
        info.pin,
        last_modified=info.last_modified,
        checksum=info.checksum,
        size=info.size,
        displaced=displaced,
    )

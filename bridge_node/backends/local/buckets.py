"""Buckets on disk: a bucket is a directory of the root with a bucket's name, whoever made it.

Everything here blocks, and is called in threads.
"""

import errno
import os
import shutil

from bridge_node.backends.bucketnames import check_bucket_name, is_bucket_name
from bridge_node.backends.local.disk import Directory, disk_errors
from bridge_node.backends.local.files import ATTEMPTS, Files
from bridge_node.backends.local.layout import DATA, OBJECTS, TMP, UPLOADS
from bridge_node.backends.local.walk import any_record
from bridge_node.errors import BucketNotEmpty, BucketOwnedByCaller, NoSuchBucket
from bridge_node.objects import BucketInfo


def all_buckets(files: Files) -> list[BucketInfo]:
    with disk_errors(), os.scandir(files.root) as entries:
        names = sorted(entry.name.decode() for entry in entries if entry.is_dir() and _may_be_bucket(entry.name))
        return [BucketInfo(name, os.stat(files.bucket_path(name)).st_mtime) for name in names]


def _may_be_bucket(name: bytes) -> bool:
    return name.isascii() and is_bucket_name(name.decode())


def reach(files: Files, bucket: str) -> BucketInfo:
    """Raises NoSuchBucket, and a BackendFailure from a failed sync on until a write succeeds again."""
    with disk_errors():
        try:
            made = os.stat(files.bucket_path(bucket)).st_mtime
        except FileNotFoundError:
            raise NoSuchBucket(BucketName=bucket) from None
    files.recover(bucket)
    return BucketInfo(bucket, made)


def create(files: Files, bucket: str) -> None:
    check_bucket_name(bucket)
    with disk_errors():
        try:
            os.mkdir(files.bucket_path(bucket), 0o700)
        except FileExistsError as error:
            raise BucketOwnedByCaller from error
        for name in (OBJECTS, DATA, UPLOADS, TMP):
            files.within(bucket, name, Directory.sync)


def delete(files: Files, bucket: str) -> None:
    """Raises BucketNotEmpty, and changes nothing, when there is an object in it or any file that is not ours."""
    path = files.bucket_path(bucket)
    with files.failures(bucket), files.locks.bucket(bucket, exclusive=True):
        if not os.path.isdir(path):
            raise NoSuchBucket(BucketName=bucket)
        if any_record(path + b"/objects/") or set(os.listdir(path)) - {OBJECTS, DATA, UPLOADS, TMP}:
            raise BucketNotEmpty
        for _ in range(ATTEMPTS):
            for name in (OBJECTS, UPLOADS, TMP, DATA):
                shutil.rmtree(path + b"/" + name, ignore_errors=True)
            if _removed(path):
                files.directories.clear()
                files.directories.root.sync()
                return
        raise BucketNotEmpty


def _removed(path: bytes) -> bool:
    try:
        os.rmdir(path)
    except OSError as error:
        # A write that will not be committed makes its directories anew.
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True

"""What boto3 may do with a storage key, as a line of JSON: run in the environment of the clients.

For each bucket: put, get and list; and a file that is uploaded in parts.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

LARGE = 9 * 1024 * 1024
"""More than boto3 sends at once."""


def main() -> None:
    config = Config(signature_version="s3v4", retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    s3 = boto3.client("s3", endpoint_url=os.environ["TARGET_ENDPOINT"], config=config)
    print(json.dumps({bucket: _tried(s3, bucket) for bucket in sys.argv[1:]}))


def _tried(s3: Any, bucket: str) -> dict[str, str]:
    body = os.urandom(LARGE)

    def put() -> None:
        s3.put_object(Bucket=bucket, Key="small", Body=b"small")

    def put_in_parts() -> None:
        upload = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
        etag = s3.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=1, Body=body)["ETag"]
        s3.complete_multipart_upload(
            Bucket=bucket,
            Key="large",
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
        )

    def get() -> None:
        s3.get_object(Bucket=bucket, Key="there")["Body"].read()

    def listed() -> None:
        s3.list_objects_v2(Bucket=bucket)

    def copy() -> None:
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "there"})

    def delete() -> None:
        s3.delete_object(Bucket=bucket, Key="small")

    steps: dict[str, Callable[[], None]] = {
        "put": put,
        "put_in_parts": put_in_parts,
        "get": get,
        "list": listed,
        "copy": copy,
        "delete": delete,
    }
    return {name: _outcome(step) for name, step in steps.items()}


def _outcome(step: Callable[[], None]) -> str:
    try:
        step()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


if __name__ == "__main__":
    main()

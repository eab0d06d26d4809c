"""Which cloud a bucket is at."""

from collections.abc import Mapping

from bridge_node.platform.store.buckets import Bucket

OTHER = "OTHER"
_NATIVE = {"S3": "AWS", "GCS": "GCP", "BLOB": "AZURE"}
"""Where buckets without an endpoint of their own are."""


def of_bucket(bucket: Bucket, provider_of_key: Mapping[str, str]) -> str:
    """Its provider key says so; of others, what is known without one. `provider_of_key` by the key's id."""
    told = provider_of_key.get(bucket.provider_key_id or "")
    if told:
        return told
    return OTHER if bucket.endpoint else _NATIVE.get(bucket.storage_type, OTHER)

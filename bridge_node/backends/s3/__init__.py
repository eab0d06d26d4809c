"""Any S3-compatible place that stores objects, spoken to over the wire.

`client` sends signed requests and understands refusals; `account`, `buckets`, `objects` and `uploads` are the
operations, each file standing on the one before; `headers` and `bodies` are what goes with them.
"""

from bridge_node.backends.s3.uploads import Uploads

__all__ = ["S3Backend"]


class S3Backend(Uploads):
    """One account at `spec.endpoint`, or at Amazon where that is empty: a `Backend`. `Account` says what it takes.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
    """

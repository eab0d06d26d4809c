"""A storage gateway that speaks S3 to applications and to the buckets behind it."""

"""What real servers get wrong: cases of the suite that they cannot pass (design.md, idea 1).

By server, then by the name of the test in `test_quirks.py` that proves it against the server itself, by a client that
is not ours: the cases it excludes, as patterns of a test's name with its parameters but without the subject's. What a
row excludes runs against our own frontend over `local` instead, as every case does.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase

SEAWEEDFS: Mapping[str, tuple[str, ...]] = {
    "test_seaweedfs_makes_a_bucket_of_any_name_that_is_written_to": (
        "test_a_deleted_bucket_is_gone_and_may_be_made_again",
        "test_an_absent_bucket_is_no_such_bucket",
        "test_a_refused_put_lets_go_of_its_body",
        "test_opening_an_upload_in_an_absent_bucket_is_no_such_bucket",
    ),
    "test_seaweedfs_takes_keys_for_paths_of_files": (
        "test_any_key_round_trips=*slash*",
        "test_any_key_round_trips=dot*",
        "test_any_key_round_trips=climbing",
        "test_any_key_round_trips=long*",
        "test_keys_that_look_alike_are_different_objects",
        "test_an_object_whose_key_ends_with_a_slash_may_have_content",
        "test_*_that_hurt*",
    ),
    "test_seaweedfs_keeps_directories_that_have_become_empty": ("test_a_deleted_directory_leaves_no_common_prefix",),
    "test_seaweedfs_goes_round_in_circles_at_a_delimiter_that_is_no_slash": (
        "test_prefix_and_delimiter_fold_keys=c",
        "test_pages_together_show_everything_once*",
    ),
    "test_seaweedfs_skips_a_directory_that_begins_with_start_after": ("test_a_listing_starts_behind_after*",),
    "test_seaweedfs_drops_empty_metadata": ("test_content_headers_and_metadata_come_back_as_they_were_given",),
    "test_seaweedfs_does_not_look_at_version_ids_where_there_are_no_versions": (
        "test_a_version_other_than_null_is_no_such_version",
        "test_many_deletes_each_have_their_outcome_in_order",
    ),
    "test_seaweedfs_copies_with_the_old_checksum": ("test_a_copy_may_get_another_checksum*",),
    "test_seaweedfs_commits_a_part_that_was_replaced": ("test_a_part_that_is_staged_again_replaces_the_first",),
    "test_seaweedfs_does_not_look_at_the_declared_size": ("test_a_commit_with_another_size_is_refused",),
    "test_seaweedfs_repeats_a_commit_with_other_parts": ("test_a_commit_may_be_repeated",),
    "test_seaweedfs_aborts_what_is_not_open": (
        "test_after_an_abort_nothing_is_there_or_can_be_committed",
        "test_after_a_commit_the_upload_is_no_more",
    ),
    "test_seaweedfs_lists_uploads_in_no_order": (
        "test_open_uploads_are_listed_by_key",
        "test_open_uploads_are_paged_by_key_and_handle",
    ),
    "test_seaweedfs_forgets_the_checksums_of_parts": ("test_attributes_tell_the_parts_of_an_object",),
    "test_seaweedfs_calls_a_wrong_checksum_of_a_part_a_bad_digest": (
        "test_a_commit_with_a_wrong_checksum_of_a_part_is_an_invalid_part",
    ),
}

QUIRKS = {"seaweedfs": SEAWEEDFS}


def is_excluded(server: str, case: str) -> bool:
    """Whether `server` cannot pass `case`: a test's name, and `=` and its other parameters if it has some."""
    return any(fnmatchcase(case, pattern) for patterns in QUIRKS.get(server, {}).values() for pattern in patterns)

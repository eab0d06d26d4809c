"""Arguments and options that several resources take."""

from enum import StrEnum
from typing import Annotated

import typer


class StorageType(StrEnum):
    S3 = "S3"
    GCS = "GCS"
    BLOB = "BLOB"
    LOCAL = "LOCAL"


class Spoken(StrEnum):
    S3 = "S3"
    GCS = "GCS"
    BLOB = "BLOB"


class Mode(StrEnum):
    NORMAL = "NORMAL"
    MIRROR = "MIRROR"


class Level(StrEnum):
    READ = "READ"
    WRITE = "WRITE"
    ADMIN = "ADMIN"


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="How people call it.")]
NewName = Annotated[str | None, typer.Option("--name", help="A new name.")]
InWorkspace = Annotated[
    str, typer.Option("--workspace", "-w", metavar="NAME", help="Name or id; may be left out where there is only one.")
]
OfWorkspace = Annotated[str, typer.Option("--workspace", "-w", metavar="NAME", help="Only of this one, by name or id.")]
Access = Annotated[Level, typer.Option("--access", case_sensitive=False, help="WRITE reads, too.")]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint", metavar="URL", help="https://host[:port]; of what is LOCAL, a root's name.")
]
Region = Annotated[str | None, typer.Option("--region", help="Region at the provider.")]
AccessKey = Annotated[
    str | None, typer.Option("--key", metavar="ID", help="Access key id, client e-mail or account name.")
]

"""`POST /node/config` and `POST /node/result` (node-protocol §§3, 4)."""

from fastapi import APIRouter

router = APIRouter(prefix="/node", tags=["nodes' own"])

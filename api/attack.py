"""ATT&CK routes: what techniques are called leaves, in the reader's language."""

from fastapi import APIRouter

from api.access import Anyone
from pipeline.attack import names
from pipeline.messages import language

router = APIRouter(tags=["rules"])


@router.get("/techniques")
def techniques(_user: Anyone) -> dict[str, dict[str, str]]:
    """Return the names of ATT&CK's techniques by their codes (`T1110.003`)."""
    return {"techniques": dict(names(language()))}

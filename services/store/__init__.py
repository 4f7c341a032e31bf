"""Artefacts on fsspec: atomic parts, manifests, fingerprints."""

from services.store.fingerprint import fingerprint
from services.store.store import Part, Store

__all__ = ["Part", "Store", "fingerprint"]

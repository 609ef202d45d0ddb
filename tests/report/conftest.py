"""The invented quarter, loaded by path because tests are not packages."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("review_fixture", Path(__file__).with_name("review_fixture.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
_FIXTURE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_FIXTURE)


@pytest.fixture(scope="session")
def quarter():
    """Builders of invented reviews."""
    return _FIXTURE


@pytest.fixture(scope="session")
def review(quarter):
    return quarter.sample_review()


@pytest.fixture(params=sorted(_FIXTURE.HOSTILE))
def hostile(request):
    return _FIXTURE.HOSTILE[request.param]

"""A patient for each test."""

import pytest

from tests.doctor.patient import Patient


@pytest.fixture
def patient(tmp_path):
    return Patient(tmp_path)

"""A patient for each test."""

import pytest

from tests.doctor.patient import Patient
from tests.doctor.rpm_patient import become_rpm


@pytest.fixture
def patient(tmp_path):
    return Patient(tmp_path)


@pytest.fixture
def rpm(patient):
    become_rpm(patient)
    return patient

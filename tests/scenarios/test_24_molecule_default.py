"""Molecule's scenario `default`, whose server is the workshop's afterwards."""


def test_doctor_finds_nothing_where_molecule_has_converged_and_verified(workshop):
    deployment, server = workshop
    run = deployment.dgctl("doctor")
    assert run.exit_code == 0, run.problems() + run.stderr
    assert {check["host"] for check in run.document["checks"]} == {server.name}

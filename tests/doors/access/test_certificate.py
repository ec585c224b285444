"""The certificate: what a server starts with, what it refuses, and how long clients will accept it."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tests.services.certificates import Certificate, certificate
from timestore_pipeline import Settings
from timestore_pipeline.doors.access.reloading import Reloaded, server_certificate, valid_until
from timestore_pipeline.errors import InvalidSettings, ServerFileRefused
from timestore_pipeline.system import clock
from timestore_pipeline.tools.doctor.check_list import tls
from timestore_pipeline.tools.doctor.examination import CheckFinding, Deployment, Status

pytestmark = pytest.mark.service


@pytest.fixture
def made(tmp_path: Path) -> Certificate:
    return certificate(tmp_path)


def loaded(made: Certificate) -> Reloaded[ssl.SSLContext]:
    found = server_certificate(Settings.build(home=made.key.parent, **made.settings))
    assert found is not None
    return found


def finding(**files: Path) -> CheckFinding:
    [found] = tls(Deployment(Settings.build(**files)))
    return found


def test_a_server_accepts_tls_1_2_and_later(made: Certificate) -> None:
    context = loaded(made).value
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_doctor_says_until_when_clients_accept_it(made: Certificate, tmp_path: Path) -> None:
    days = valid_until(loaded(made).value, made.certificate) - clock.now()
    assert timedelta(days=29) < days <= timedelta(days=30)
    assert finding(**made.settings).status is Status.OK
    assert "is valid only until" in finding(**certificate(tmp_path, "soon", days=3).settings).seen
    assert finding(**certificate(tmp_path, "late", days=-1).settings).status is Status.FAILED
    assert "plain HTTP" in finding().seen


def test_one_file_may_hold_both(made: Certificate) -> None:
    both = made.key
    both.write_text(both.read_text() + made.certificate.read_text())
    assert server_certificate(Settings.build(home=both.parent, api_tls_certificate_file=both)) is not None


def test_a_key_that_others_may_read_is_refused(made: Certificate) -> None:
    made.key.chmod(0o644)
    with pytest.raises(ServerFileRefused, match=r"TIMESTORE_API_TLS_KEY_FILE=.* has mode 0644") as refused:
        loaded(made)
    assert refused.value.hint == f"chmod 600 {made.key}"


@pytest.mark.parametrize("wrong", ["another's key", "no key", "no certificate", "a password", "gone"])
def test_files_that_do_not_fit_are_refused(made: Certificate, tmp_path: Path, wrong: str) -> None:
    if wrong == "another's key":
        shutil.copy(certificate(tmp_path, "other").key, made.key)
    elif wrong == "a password":
        command = ["openssl", "ec", "-aes256", "-passout", "pass:hush", "-in", made.key, "-out", made.key]
        subprocess.run([*map(str, command)], check=True, capture_output=True)
    elif wrong == "gone":
        made.certificate.unlink()
    else:
        (made.key if wrong == "no key" else made.certificate).write_text("nothing\n")
    with pytest.raises(ServerFileRefused, match="cannot be used") as refused:
        loaded(made)
    assert "PEM" in refused.value.hint


def test_a_key_needs_a_certificate(made: Certificate) -> None:
    with pytest.raises(InvalidSettings, match="TIMESTORE_API_TLS_CERTIFICATE_FILE is not"):
        server_certificate(Settings.build(home=made.key.parent, api_tls_key_file=made.key))


def test_half_a_renewal_changes_nothing(made: Certificate, tmp_path: Path) -> None:
    file = loaded(made)
    before, renewed = file.value, certificate(tmp_path, "renewed")
    shutil.copy(renewed.certificate, made.certificate)
    for _ in range(2):
        file.refresh()
    assert (file.value, file.refusal is not None) == (before, True)
    shutil.copy(renewed.key, made.key)
    for _ in range(2):
        file.refresh()
    assert (file.value is not before, file.refusal) == (True, None)

"""What certbot of each generation says, as what is wrong and what helps: outputs of real ones against pebble, shortened."""

import pytest
from ansible.module_utils.proxy.acme import words

CONFIG = {"names": ["speech.example.com"], "server": "https://ca.example.com/dir", "folder": "/etc/x", "http_port": 80}
REFUSED = """Saving debug log to /var/log/deepgram-acme/letsencrypt.log

Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  {word}: speech.example.com
  Type:   connection
  Detail: Get "http://speech.example.com/.well-known/acme-challenge/x": connection refused

Some challenges have failed.
Ask for help or search for solutions at https://community.letsencrypt.org.
"""


@pytest.mark.parametrize("word", ["Domain", "Identifier"], ids=["certbot 1.21 to 4.2", "certbot 5.8"])
def test_a_refusal_is_the_authority_s_own_words(word):
    what, fix = words.explained(REFUSED.format(word=word), CONFIG)
    assert (
        what.startswith("the authority refuses: speech.example.com: connection: Get ")
        and "port 80 of that address" in fix
    )


@pytest.mark.parametrize("word", ["Domain", "Identifier"])
def test_a_hook_that_failed_is_named_before_it(word):
    said = "Hook '--manual-auth-hook' for speech.example.com reported error code 7\n" + REFUSED.format(word=word)
    what, _ = words.explained(said, CONFIG)
    assert what.startswith(
        "nginx_proxy_acme_dns_hook (auth of speech.example.com) ended with 7; the authority refuses: "
    )


@pytest.mark.parametrize(
    "said",
    [
        "Unable to register an account with ACME server",  # certbot 1.21 and 1.22
        "An unexpected error occurred:\nAttributeError: can't set attribute",  # those with Python 3.11, of a wrong HMAC key
        "Unable to register an account with ACME server. The ACME server requires External Account Binding.",
        "An unexpected error occurred:\nurn:ietf:params:acme:error:externalAccountRequired :: policy requires binding",
    ],
)
def test_an_authority_that_knows_no_account_leads_to_its_binding(said):
    assert "nginx_proxy_acme_eab_kid" in words.explained(said, CONFIG)[1]


def test_what_nobody_knows_leads_to_the_log():
    assert words.explained("Something else", CONFIG) == ("Something else", words._fix("see its log"))

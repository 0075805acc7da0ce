# For an upgrade too: the new package's modules have been built by now, and are put in place again.
dkms remove -m nvidia -v @V@ --all
dkms autoinstall

# An older Python is the one that Ansible and `python3` of PATH find. Debian's programs begin with #!/usr/bin/python3, and
# keep theirs, which has no name of its own in PATH.
debian=$(basename "$(readlink -f /usr/bin/python3)")
mkdir -p /usr/libexec/debian
dpkg-divert --local --rename --divert "/usr/libexec/debian/$debian" --add "/usr/bin/$debian"
ln -sf "/usr/libexec/debian/$debian" /usr/bin/python3
ln -s "/usr/bin/python$OLD_PYTHON" /usr/local/bin/python3
/usr/bin/python3 -c 'import encodings, ssl'
/usr/local/bin/python3 -c "import sqlite3, ssl, sys; sys.exit('%d.%d' % sys.version_info[:2] != '$OLD_PYTHON')"
sed -i "/ $OLD_PYTHON_SUITE /d" /etc/apt/sources.list

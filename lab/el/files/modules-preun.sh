# Not for an upgrade, whose new package has put its modules there before.
[ "$1" != 0 ] || { rm -f "/lib/modules/$(uname -r)/extra/"nvidia*.ko; depmod "$(uname -r)"; }
